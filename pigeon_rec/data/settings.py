"""Which catalogue and users a model is trained on and evaluated with."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from pigeon_rec.columns import ColumnsConfig, ImagesConfig
from pigeon_rec.runtime.settings import Settings, path_or

__all__ = ["BUNDLED", "DataSettings", "TableSettings"]

BUNDLED = "bundled"
"""The bundled stickers: value of `catalogue` and of `interactions`."""
_WORLDS = (BUNDLED, "posters")


class DataSettings(Settings):
    """The data of a training folder, of an evaluation or of a weekly alignment.

    Attributes:
        catalogue: `bundled` or `posters` for a world of this package, or an `items.parquet`.
        interactions: `bundled` or `posters`, or a RecBole `.inter` or a parquet file.
        scenario: Instruction, aspect ratio and words of the pictures: the name of a bundled
            scenario, or the path of a YAML file of your own.
        taste: Catalogue column whose values are looks that users prefer. Null takes `style`, or
            else the taste column of the scenario, unless the instruction names that column: what
            it names says what an item is, and not how it looks. A catalogue may have none.
        group_by: Catalogue column whose equal values mark items that show the same thing (a concept
            in many styles). A catalogue without that column has no groups; null for none.
    """

    catalogue: Annotated[str, path_or(*_WORLDS)] = BUNDLED
    interactions: Annotated[str, path_or(*_WORLDS)] = BUNDLED
    scenario: Annotated[str, path_or(bare_names=True)] = "sticker"
    taste: str | None = None
    group_by: str | None = "concept"

    @model_validator(mode="after")
    def _users_of_the_catalogue(self) -> DataSettings:
        if self.interactions == BUNDLED != self.catalogue:
            raise ValueError(
                f"the catalogue {self.catalogue!r} needs `interactions` of its own: `bundled` are "
                "those of the bundled stickers"
            )
        return self

    @property
    def data(self) -> DataSettings:
        """These settings alone, without those of a class that has more."""
        return DataSettings(**{name: getattr(self, name) for name in DataSettings.model_fields})


class TableSettings(DataSettings):
    """Data whose tables may be in any usual form, as those of a night.

    Attributes:
        columns: Names of the columns of these tables, where they are not found by themselves.
        images: Where the pictures of the items are.
    """

    columns: ColumnsConfig = ColumnsConfig()
    images: ImagesConfig = ImagesConfig()
