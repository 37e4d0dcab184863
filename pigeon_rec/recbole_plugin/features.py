"""Item vectors as a RecBole atomic file, by its conventions for pre-trained item features.

`<dataset>.visual` has a token field of item ids and a `float_seq` field of vectors. The wrapper
finds it; plain RecBole loads it by `additional_feat_suffix`, `alias_of_item_id` and
`preload_weight`. A vector is the embedding of the item's image, optionally concatenated with that
of its caption, or one that was computed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.data.catalogue import Problem, load_catalogue
from pigeon_rec.data.image_folder import read_image_folder
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.errors import ConfigError, InteractionError
from pigeon_rec.recbole_plugin.dataset_items import DatasetFiles, item_tokens, surviving_items
from pigeon_rec.recbole_plugin.run import read_settings
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.recbole_plugin.vector_sources import (
    Captions,
    VectorTable,
    array_vectors,
    catalogue_vectors,
)
from pigeon_rec.retrieval import EmbeddingCache
from pigeon_rec.scoring.image_encoders import load_image_encoder
from pigeon_rec.scoring.scorer import load_scorer

__all__ = ["FeatureRequest", "FeatureSummary", "write_dataset", "write_interactions"]

_DIGITS = 6  # significant digits; the error is below a ten-thousandth of a degree
_FORBIDDEN = r"[\t\n\r\"]"  # characters that an atomic file cannot hold


@dataclass(frozen=True)
class FeatureRequest:
    """What to write; `images`, or `vectors` with `ids`, take the place of the catalogue.

    Attributes:
        folder: Folder of the data set, `<data_path>/<dataset>` in RecBole's terms.
        catalogue: `bundled` or the path of an `items.parquet`.
        images: Folder of pictures; a file's name without extension is the item's token.
        vectors: `.npy` file of vectors `[n, dim]`.
        ids: Text file with the item token of every row of `vectors`.
        interactions: `bundled`, parquet or `.inter`, written as the data set's `.inter` file
            before; `None` keeps the existing one.
        encoder: What encodes the images, see `load_image_encoder`.
        suffix: Suffix of the written file.
        captions: Weight of captions, see `Captions`; 0 leaves them out. An item's caption is its
            `semantics` in the catalogue.
        configs: RecBole config files: names of fields, separators, and filters to count by.
    """

    folder: Path
    catalogue: str = "bundled"
    images: Path | None = None
    vectors: Path | None = None
    ids: Path | None = None
    interactions: str | None = None
    encoder: str = "sticker-64"
    suffix: str = "visual"
    captions: float = 0.0
    configs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if (self.vectors is None) != (self.ids is None):
            raise ConfigError(
                "vectors need the file of their item ids, and ids need vectors",
                location="--vectors, --ids",
                remedy="Give both, such as --vectors x.npy --ids ids.txt",
            )
        if self.images is not None and self.vectors is not None:
            raise ConfigError(
                "pictures are given twice", location="--images, --vectors", remedy="Give one"
            )
        if self.captions and (self.images is not None or self.vectors is not None):
            raise ConfigError(
                "captions are those of a catalogue, which has no part in this",
                location="--captions",
                remedy="Leave it out, or give --catalogue items.parquet",
            )


@dataclass(frozen=True)
class FeatureSummary:
    """Summary of a written feature file.

    Attributes:
        path: The file.
        items: Rows written: items of the data set with a vector.
        of: Items of the data set.
        dimensions: Length of a vector.
        unknown: Pictures or rows of items that the data set does not have.
        not_finite: Rows that were left out because a value is NaN or infinite.
        filtered: Of the written items, those that the filters of the config files remove; `None`
            without config files.
        problems: Items without a vector, with the reason, and repeated ones.
    """

    path: Path
    items: int
    of: int
    dimensions: int
    unknown: int
    not_finite: int
    filtered: int | None
    problems: list[Problem]


def write_dataset(request: FeatureRequest) -> FeatureSummary:
    """Writes the item vectors of a RecBole data set, and optionally its `.inter` file before them.

    Only items of the data set are written: RecBole makes every id of such a file an item.

    Raises:
        PigeonError: An input cannot be read, or no item has a vector.
    """
    settings: dict[str, Any] = {}
    for path in request.configs:
        settings |= read_settings(path)
    folder, files = request.folder, DatasetFiles.of(request.folder, settings)
    if request.interactions is not None:
        rows, _ = load_interactions(request.interactions, load_catalogue(request.catalogue))
        write_interactions(rows, folder / f"{folder.name}.inter")
    item_ids = item_tokens(files)
    table = _vectors(request, item_ids)
    target = folder / f"{folder.name}.{request.suffix}"
    if not table.tokens:
        raise InteractionError(
            f"none of the {len(item_ids)} items of the data set has a vector "
            f"({table.unknown} pictures or vectors are of other items)",
            location=str(target),
            remedy="Give pictures or vectors by the tokens of the data set's items, such as "
            f"{', '.join(item_ids[:3])}",
        )
    _write(table, target, files, settings)
    filtered = None
    if request.configs:
        filtered = len(set(table.tokens) - surviving_items(files, request.configs))
    return FeatureSummary(
        target,
        len(table.tokens),
        len(item_ids),
        table.matrix.shape[1],
        table.unknown,
        table.not_finite,
        filtered,
        table.problems,
    )


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


def _vectors(request: FeatureRequest, item_ids: list[str]) -> VectorTable:
    if request.vectors is not None and request.ids is not None:
        return array_vectors(request.vectors, request.ids, item_ids)
    encoder = load_image_encoder(request.encoder)
    cache = EmbeddingCache(
        request.folder.parent / "embeddings.parquet", encoder.encoder_id, encoder.image_size
    )
    if request.images is not None:
        found = read_image_folder(request.images, item_ids)
        table = catalogue_vectors(item_ids, found.catalogue, encoder.encode_images, cache)
        return VectorTable(
            table.tokens, table.matrix, found.unknown, 0, [*found.problems, *table.problems]
        )
    captions = None
    if request.captions:
        captions = Captions(load_scorer(request.encoder).encode_texts, request.captions)
    catalogue = load_catalogue(request.catalogue)
    return catalogue_vectors(item_ids, catalogue, encoder.encode_images, cache, captions)


def _write(
    table: VectorTable, path: Path, files: DatasetFiles, settings: Mapping[str, Any]
) -> None:
    names = PigeonSettings.of(settings)
    rows = pl.DataFrame(
        {
            f"{names.visual_id_field}:token": table.tokens,
            f"{names.visual_field}:float_seq": _as_text(table.matrix, files.seq_separator),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_csv(path, separator=files.field_separator, quote_style="never")


def _as_text(vectors: npt.NDArray[np.float32], separator: str) -> list[str]:
    return [separator.join(f"{value:.{_DIGITS}g}" for value in row) for row in vectors.tolist()]
