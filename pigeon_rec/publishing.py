"""Settings of what is published: stores, marks and mirrors of pictures, gallery and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pigeon_rec.runtime.openmetrics import is_label_name
from pigeon_rec.runtime.settings import LocalPath, Positive, Settings, location_or

__all__ = ["ReportConfig", "WarehouseConfig"]


class ReportConfig(Settings):
    """What is reported of a night.

    Attributes:
        max_users: Users shown on the gallery page; the rest is only counted.
        max_assets_per_user: Pictures shown of each of them.
        metrics: Where to write a copy of the night's `metrics.prom`, such as a file in the folder
            of node_exporter's textfile collector, which reads names that end with `.prom`.
        metrics_labels: Labels of every metric, such as `{shop: toys}`, where several nights are
            watched on one machine.
    """

    max_users: Positive = 60
    max_assets_per_user: Positive = 2
    metrics: LocalPath | None = None
    metrics_labels: Mapping[str, str] = {}

    @field_validator("metrics_labels")
    @classmethod
    def _are_labels(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        if own := sorted({"kind", "reason", "source", "step", "version"} & labels.keys()):
            raise ValueError(f"metrics have labels of this name already: {', '.join(own)}")
        if wrong := sorted(name for name in labels if not is_label_name(name)):
            raise ValueError(
                f"{wrong[0]!r} is no name of a label: letters, digits and `_`, no digit first, and "
                "`__` is reserved"
            )
        return labels


class WarehouseConfig(Settings):
    """Where published pictures are stored, how they are marked, and the mirror for other machines.

    Attributes:
        images: `table` keeps their bytes in the warehouse. An fsspec location
            (`file:///srv/pictures`, `s3://bucket/pictures`) stores the pictures of later nights
            there, and the tables hold their locations.
        marking: Mark of the pictures of later nights: `metadata` writes IPTC's digital source type,
            the model version and the asset key into the files, `c2pa` (extra `c2pa`) signs them as
            well; null for none. Keys and content hashes are those of the unmarked pictures.
        certificate: PEM file with the certificate for `c2pa` and those of its authorities.
        key: PEM file with its private key, unencrypted.
        mirror: `parquet` copies the served tables to `mirror_address` after every promotion, as
            parquet files by date and bucket of users; null for no mirror.
        mirror_address: An fsspec location that holds nothing else.
        mirror_buckets: Number of buckets. Every bucket is one search through the snapshot, and has
            one file for each 16 MB of pictures.
        mirror_grace_hours: Hours that the files of a night stay after another one replaced it, for
            readers that began with it.
        memory_gb: Gigabytes of memory that DuckDB may use while a night is published or promoted;
            what needs more is spilled to the disk beside the warehouse. One shard and 0.5 GB come
            on top. An index of 0.11 GB for each million stored pictures must fit.
    """

    images: Annotated[str, location_or("table")] = "table"
    marking: Literal["metadata", "c2pa"] | None = "metadata"
    certificate: LocalPath | None = None
    key: LocalPath | None = None
    mirror: Literal["parquet"] | None = None
    mirror_address: Annotated[str, location_or()] | None = None
    mirror_buckets: Annotated[int, Field(ge=1, le=4096)] = 16
    mirror_grace_hours: Annotated[float, Field(ge=0.0, le=24.0 * 365)] = 24.0
    memory_gb: Annotated[float, Field(ge=0.25)] = 2.0

    @model_validator(mode="after")
    def _check_files(self) -> WarehouseConfig:
        if self.marking == "c2pa" and not (self.certificate and self.key):
            raise ValueError("marking c2pa needs the files certificate and key")
        return self

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if self.mirror is not None and self.mirror_address is None:
            raise ValueError("`mirror` needs `mirror_address`, such as s3://bucket/mirror")
        if self.mirror_address is not None and self.mirror_address == self.images:
            raise ValueError("`mirror_address` must differ from `images`: a mirror is alone there")
        return self
