"""Inner products of chosen pairs of vectors, computed by FAISS.

Each one is computed alone, so that its last bit does not depend on the others of a batch, as that
of a matrix product does.
"""

from __future__ import annotations

import faiss
import numpy as np

from pigeon_rec.retrieval._user_items import Codes
from pigeon_rec.retrieval.embeddings import Vectors

__all__ = ["inner_products"]


def inner_products(queries: Vectors, vectors: Vectors, rows: Codes) -> Vectors:
    """Inner products of `queries [n, dim]` with `vectors[rows]`, float32 `[n, k]`; 0 for row -1.

    The FAISS kernel takes raw pointers: the arrays must be contiguous and stay alive.
    """
    queries, rows = np.ascontiguousarray(queries), np.ascontiguousarray(rows, dtype=np.int64)
    products = np.zeros(rows.shape, dtype=np.float32)
    arrays = (products, queries, vectors, rows)
    faiss.fvec_inner_products_by_idx(
        *(faiss.swig_ptr(array) for array in arrays), queries.shape[1], *rows.shape
    )
    products[rows < 0] = 0.0
    return products
