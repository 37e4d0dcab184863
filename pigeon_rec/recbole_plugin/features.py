"""Item vectors as a RecBole atomic file, by its conventions for pre-trained item features.

`<dataset>.visual` has a token field of item ids and a `float_seq` field of vectors. RecBole loads
it by `additional_feat_suffix`, maps its ids to those of the items by `alias_of_item_id`, and makes
it a matrix by `preload_weight`. A vector is the picture's, or with captions the picture's and the
caption's behind it, so that two items are near if they look alike, mean alike, or both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem, load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.errors import InteractionError
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.retrieval import EmbeddingCache, Encode, embed_catalogue
from pigeon_rec.scoring.scorer import load_scorer

__all__ = [
    "Captions",
    "FeatureSummary",
    "atomic_item_ids",
    "write_dataset",
    "write_features",
    "write_interactions",
]

_DIGITS = 6  # of a unit vector's numbers: an angle of less than a ten-thousandth of a degree
_FORBIDDEN = r"[\t\n\r\"]"  # what an atomic file cannot hold


@dataclass(frozen=True)
class Captions:
    """How captions enter item vectors.

    Attributes:
        encode: Texts to unit vectors float32 `[n, dim]`.
        weight: Length of a caption's vector beside the picture's, which is 1.
    """

    encode: Callable[[Sequence[str]], npt.NDArray[np.float32]]
    weight: float

    def behind(
        self, pictures: npt.NDArray[np.float32], texts: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Unit vectors of pictures and captions, float32 `[n, 2 dim]`.

        Args:
            pictures: Unit vectors `[n, dim]`.
            texts: One a picture; an item without one has its picture alone.
        """
        told = np.array([bool(text.strip()) for text in texts])
        captions = self.encode(texts) * (self.weight * told)[:, None]
        both = np.concatenate([pictures, captions], axis=1)
        unit: npt.NDArray[np.float32] = both / np.linalg.norm(both, axis=1, keepdims=True)
        return unit.astype(np.float32)


@dataclass(frozen=True)
class FeatureSummary:
    """What was written.

    Attributes:
        path: The file of item vectors.
        items: Rows in it.
        dimensions: Length of a vector.
        problems: Items that have no vector: their picture is missing, broken or unknown.
    """

    path: Path
    items: int
    dimensions: int
    problems: list[Problem]


def write_dataset(
    data_path: Path,
    dataset: str,
    *,
    catalogue: str = "bundled",
    interactions: str | None = None,
    model: str = "sticker-64",
    suffix: str = "visual",
    captions: float = 0.0,
) -> FeatureSummary:
    """Writes the item vectors of a RecBole data set, and first, if asked, its `.inter` file.

    Args:
        data_path: RecBole's folder of data sets.
        dataset: Name of the data set.
        catalogue: `bundled` or the path of an `items.parquet`.
        interactions: `bundled`, parquet or `.inter`; `None` takes the data set's own.
        model: Name or folder of the model whose encoder sees the pictures.
        suffix: Of the written file.
        captions: Length of a caption's vector beside the picture's, which is 1; 0 leaves captions
            out. A caption is the item's `semantics`.

    Raises:
        PigeonError: An input cannot be read, or no item has a picture.
    """
    items = load_catalogue(catalogue)
    home = data_path / dataset
    inter = home / f"{dataset}.inter"
    if interactions is not None:
        write_interactions(load_interactions(interactions, items)[0], inter)
    item_ids = atomic_item_ids(inter)
    encoder = load_scorer(model)
    cache = EmbeddingCache(data_path / "embeddings.parquet", encoder.encoder_id)
    path = home / f"{dataset}.{suffix}"
    told = Captions(encoder.encode_texts, captions) if captions else None
    return write_features(item_ids, items, encoder.encode_images, cache, path, captions=told)


def write_features(
    item_ids: list[str],
    catalogue: Catalogue,
    encode: Encode,
    cache: EmbeddingCache,
    path: Path,
    *,
    settings: PigeonSettings | None = None,
    captions: Captions | None = None,
) -> FeatureSummary:
    """Writes the vectors of items whose pictures the catalogue has.

    Only ids in `item_ids` are written: RecBole gives every id of an alias field a place among the
    items, so an id without interactions would become a candidate.

    Args:
        item_ids: Items of the data set.
        catalogue: Where their pictures are.
        encode: The image encoder.
        cache: Vectors of pictures seen before.
        path: `<folder>/<dataset>/<dataset>.<suffix>`.
        settings: Field names, by default those of `properties.yaml`.
        captions: How captions enter; None leaves them out.

    Raises:
        InteractionError: No item of the data set has a picture.
    """
    names = settings or PigeonSettings.of({})
    known = [
        item for item, code in zip(item_ids, catalogue.code_of(item_ids), strict=True) if code >= 0
    ]
    vectors, problems = embed_catalogue(catalogue, known, encode, cache)
    usable = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0) if known else np.zeros(0, int)
    if not len(usable):
        raise InteractionError(
            f"none of the {len(item_ids)} items of the data set has a picture in the catalogue",
            location=str(path),
            remedy="Give the catalogue whose item_id are the tokens of the .inter file",
        )
    chosen = vectors[usable]
    if captions is not None:
        texts = catalogue.rows([known[row] for row in usable])["semantics"].fill_null("")
        chosen = captions.behind(chosen, texts.to_list())
    rows = pl.DataFrame(
        {
            f"{names.visual_id_field}:token": [known[row] for row in usable],
            f"{names.visual_field}:float_seq": _as_text(chosen),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_csv(path, separator="\t", quote_style="never")
    strangers = sorted(set(item_ids) - set(known))
    told = [*problems, *(_stranger(item, path) for item in strangers)]
    return FeatureSummary(path, len(usable), chosen.shape[1], told)


def write_interactions(interactions: pl.DataFrame, path: Path) -> None:
    """Writes `user_id, item_id, timestamp` as RecBole's `.inter` file.

    Raises:
        InteractionError: An id holds a character that an atomic file cannot, or reads as a
            missing value there.
    """
    for name in ("user_id", "item_id"):
        column = interactions[name]
        bad = column.filter(
            column.str.contains(_FORBIDDEN) | column.is_in(["", "NA", "nan", "null"])
        )
        if len(bad):
            raise InteractionError(
                f"RecBole's atomic files cannot hold the {name} {bad[0]!r}", location=str(path)
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    interactions.select(
        pl.col("user_id").alias("user_id:token"),
        pl.col("item_id").alias("item_id:token"),
        (pl.col("timestamp").dt.epoch("us") / 1e6).alias("timestamp:float"),
    ).write_csv(path, separator="\t", quote_style="never")


def atomic_item_ids(path: Path, field: str = "item_id") -> list[str]:
    """The distinct item tokens of an `.inter` file, sorted.

    Raises:
        InteractionError: There is no such file, or its header has no `<field>:token`.
    """
    try:
        rows = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InteractionError(
            f"cannot read the interactions: {error}",
            location=str(path),
            remedy="Give the folder and the name of a data set in RecBole's atomic files",
        ) from error
    header = f"{field}:token"
    if header not in rows.columns:
        raise InteractionError(
            f"the header has no {header}", location=f"{path}, line 1: {', '.join(rows.columns)}"
        )
    ids: list[str] = rows[header].drop_nulls().unique().sort().to_list()
    return ids


def _as_text(vectors: npt.NDArray[np.float32]) -> list[str]:
    return [" ".join(f"{value:.{_DIGITS}g}" for value in row) for row in vectors.tolist()]


def _stranger(item: str, path: Path) -> Problem:
    return Problem(
        "unknown_item", item, str(path), f"item {item!r} is not in the catalogue; it has no vector"
    )
