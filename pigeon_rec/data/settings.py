"""Which catalogue and users a model is trained on and evaluated with."""

from __future__ import annotations

from pydantic import model_validator

from pigeon_rec.runtime.settings import Settings

__all__ = ["BUNDLED", "DataSettings"]

BUNDLED = "bundled"
"""The bundled stickers: value of `catalogue` and of `interactions`."""


class DataSettings(Settings):
    """The data of a training folder, of an evaluation or of a weekly alignment.

    Attributes:
        catalogue: `bundled`, `posters`, or the path of an `items.parquet`.
        interactions: `bundled`, `posters`, or a RecBole `.inter` or a parquet file.
        scenario: Instruction template, which is the word for the pictures and their aspect ratio,
            too.
        taste: Catalogue column whose values are looks that users prefer. Null takes `style`, or
            else the taste column of the scenario; `genres`, which say what a film is about and not
            how its poster looks, only by name. A catalogue may have none.
        group_by: Catalogue column whose equal values mark items that show the same thing (a concept
            in many styles). A catalogue without that column has no groups.
    """

    catalogue: str = BUNDLED
    interactions: str = BUNDLED
    scenario: str = "sticker"
    taste: str | None = None
    group_by: str = "concept"

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
