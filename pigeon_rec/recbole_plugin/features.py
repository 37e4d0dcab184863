"""Item vectors as a RecBole atomic file, by its conventions for pre-trained item features.

`<dataset>.visual` has a token field of item ids and a `float_seq` field of vectors. RecBole loads
it by `additional_feat_suffix`, maps its ids to those of the items by `alias_of_item_id`, and makes
it a matrix by `preload_weight`. A vector is the embedding of the item's image, optionally
concatenated with that of its caption.
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

_DIGITS = 6  # significant digits; the error is below a ten-thousandth of a degree
_FORBIDDEN = r"[\t\n\r\"]"  # characters that an atomic file cannot hold


@dataclass(frozen=True)
class Captions:
    """How captions are added to item vectors.

    Attributes:
        encode: Text encoder, texts to unit vectors float32 `[n, dim]`.
        weight: Norm of a caption's vector before normalisation; that of an image's vector is 1.
    """

    encode: Callable[[Sequence[str]], npt.NDArray[np.float32]]
    weight: float

    def append_to(
        self, image_vectors: npt.NDArray[np.float32], texts: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Concatenates image and caption vectors to unit vectors, float32 `[n, 2 dim]`.

        Args:
            image_vectors: Unit vectors `[n, dim]`.
            texts: Caption of each item; a blank one adds zeros.
        """
        has_text = np.array([bool(text.strip()) for text in texts])
        captions = self.encode(texts) * (self.weight * has_text)[:, None]
        both = np.concatenate([image_vectors, captions], axis=1)
        unit: npt.NDArray[np.float32] = both / np.linalg.norm(both, axis=1, keepdims=True)
        return unit.astype(np.float32)


@dataclass(frozen=True)
class FeatureSummary:
    """Summary of a written feature file.

    Attributes:
        items: Number of rows.
        dimensions: Length of a vector.
        problems: Items without a vector: the image is missing or broken, or the item is unknown.
    """

    path: Path
    items: int
    dimensions: int
    problems: list[Problem]


def write_dataset(
    folder: Path,
    *,
    catalogue: str = "bundled",
    interactions: str | None = None,
    model: str = "sticker-64",
    suffix: str = "visual",
    captions: float = 0.0,
) -> FeatureSummary:
    """Writes the item vectors of a RecBole data set, and optionally its `.inter` file before them.

    Args:
        folder: Folder of the data set, `<data_path>/<dataset>` in RecBole's terms.
        catalogue: `bundled` or the path of an `items.parquet`.
        interactions: `bundled`, parquet or `.inter`, written as the data set's `.inter` file;
            `None` keeps the existing one.
        model: Name or folder of the model whose scorer encodes the images.
        suffix: Suffix of the written file.
        captions: Weight of captions, see `Captions`; 0 leaves them out. An item's caption is its
            `semantics`.

    Raises:
        PigeonError: An input cannot be read, or no item has an image.
    """
    items = load_catalogue(catalogue)
    inter = folder / f"{folder.name}.inter"
    if interactions is not None:
        write_interactions(load_interactions(interactions, items)[0], inter)
    item_ids = atomic_item_ids(inter)
    scorer = load_scorer(model)
    cache = EmbeddingCache(folder.parent / "embeddings.parquet", scorer.encoder_id)
    path = folder / f"{folder.name}.{suffix}"
    added = Captions(scorer.encode_texts, captions) if captions else None
    return write_features(item_ids, items, scorer.encode_images, cache, path, captions=added)


def write_features(
    item_ids: list[str],
    catalogue: Catalogue,
    encode: Encode,
    cache: EmbeddingCache,
    path: Path,
    *,
    captions: Captions | None = None,
) -> FeatureSummary:
    """Writes the vectors of the items that have an image in the catalogue.

    Only ids in `item_ids` are written: RecBole makes every id of an alias field an item, so an id
    without interactions could be recommended.

    `path` is `<folder>/<dataset>/<dataset>.<suffix>`. Without `captions`, the vectors are those of
    the images alone.

    Raises:
        InteractionError: No item of the data set has an image.
    """
    names = PigeonSettings.of({})
    known = [
        item for item, code in zip(item_ids, catalogue.code_of(item_ids), strict=True) if code >= 0
    ]
    vectors, problems = embed_catalogue(catalogue, known, encode, cache)
    usable = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0) if known else np.zeros(0, int)
    if not len(usable):
        raise InteractionError(
            f"none of the {len(item_ids)} items of the data set has an image in the catalogue",
            location=str(path),
            remedy="Give the catalogue whose item_id are the tokens of the .inter file",
        )
    chosen = vectors[usable]
    if captions is not None:
        texts = catalogue.rows([known[row] for row in usable])["semantics"].fill_null("")
        chosen = captions.append_to(chosen, texts.to_list())
    rows = pl.DataFrame(
        {
            f"{names.visual_id_field}:token": [known[row] for row in usable],
            f"{names.visual_field}:float_seq": _as_text(chosen),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_csv(path, separator="\t", quote_style="never")
    unknown = [_unknown_item(item, path) for item in sorted(set(item_ids) - set(known))]
    return FeatureSummary(path, len(usable), chosen.shape[1], [*problems, *unknown])


def write_interactions(interactions: pl.DataFrame, path: Path) -> None:
    """Writes `user_id, item_id, timestamp` as RecBole's `.inter` file.

    Raises:
        InteractionError: An id contains a character that an atomic file cannot hold, or would be
            read as a missing value.
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


def atomic_item_ids(path: Path) -> list[str]:
    """Returns the distinct item tokens of an `.inter` file, sorted.

    Raises:
        InteractionError: The file is missing, or its header has no `item_id:token`.
    """
    try:
        rows = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InteractionError(
            f"cannot read the interactions: {error}",
            location=str(path),
            remedy="Give the folder and the name of a data set in RecBole's atomic files",
        ) from error
    header = "item_id:token"
    if header not in rows.columns:
        raise InteractionError(
            f"the header has no {header}", location=f"{path}, line 1: {', '.join(rows.columns)}"
        )
    ids: list[str] = rows[header].drop_nulls().unique().sort().to_list()
    return ids


def _as_text(vectors: npt.NDArray[np.float32]) -> list[str]:
    return [" ".join(f"{value:.{_DIGITS}g}" for value in row) for row in vectors.tolist()]


def _unknown_item(item: str, path: Path) -> Problem:
    return Problem(
        "unknown_item", item, str(path), f"item {item!r} is not in the catalogue; it has no vector"
    )
