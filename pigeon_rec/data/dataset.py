"""A catalogue with its users, as training and evaluation read it, wherever both came from.

Every item has labels: a *style* (a look that users prefer), a *concept* (items of one concept show
the same thing), both if the catalogue has such columns, and whether it is held out from every
training step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem, load_catalogue
from pigeon_rec.data.held_out import choose_held_out
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.data.tastes import item_values
from pigeon_rec.data.world import WORLDS, World, load_world
from pigeon_rec.errors import CatalogueError, ConfigError
from pigeon_rec.runtime.files import replacing

__all__ = ["CaseUsers", "Dataset", "load_dataset", "read_held_out", "write_held_out"]

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_STYLE = "style"
_LEAST_OF_STYLE, _MOST_STYLES = 4, 64
_LEAST_OF_GROUP = 2
_PREFERRED, _SECOND = 1 / 3, 0.25
_LISTED = ("item_id", "style", "concept")


@dataclass(frozen=True)
class CaseUsers:
    """Users that the cases of an evaluation are made for.

    Attributes:
        interactions: `INTERACTION_SCHEMA`, without held-out items.
        tastes: `user_id`, `preferred_style` and `second_style` (null for most), of the users who
            prefer a style.
        chosen: `user_id` and `item_id` of held-out items that users have chosen.
        end: End of the interactions, exclusive.
    """

    interactions: pl.DataFrame
    tastes: pl.DataFrame
    chosen: pl.DataFrame
    end: datetime


@dataclass(frozen=True)
class Dataset:
    """Items with labels, interactions, and the scenario they are drawn in.

    Attributes:
        settings: What it was loaded from.
        catalogue: Pictures and texts of the items.
        interactions: `INTERACTION_SCHEMA`, of all users and items.
        prompt: Instruction template of the scenario.
        items: `item_id`, `style`, `concept` (null where an item has none) and `held_out`, a row per
            item of the catalogue, in its order.
        style_descriptions: Style -> its look in words.
        lacking: `style` or `concept` -> why the items have none.
        problems: Rows of catalogue and interactions that are left out.
        world: The bundled data set, if it is one.
    """

    settings: DataSettings
    catalogue: Catalogue
    interactions: pl.DataFrame
    prompt: PromptTemplate
    items: pl.DataFrame
    style_descriptions: Mapping[str, str]
    lacking: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    world: World | None = None

    @property
    def name(self) -> str:
        """Name of the bundled data set, or path of the catalogue."""
        return self.settings.catalogue

    def training_items(self) -> pl.DataFrame:
        """The rows of `items` that training may read."""
        return self.items.filter(~pl.col("held_out"))

    def held_out_items(self) -> pl.DataFrame:
        """The other rows of `items`."""
        return self.items.filter("held_out")

    def training_interactions(self) -> pl.DataFrame:
        """Interactions without held-out items: the latest of each user with each item."""
        kept = pl.col("item_id").is_in(self.training_items()["item_id"].implode())
        latest = self.interactions.filter(kept).unique(
            ["user_id", "item_id"], keep="last", maintain_order=True
        )
        return latest.sort("user_id", "timestamp", "item_id")

    def case_users(self) -> CaseUsers:
        """Users for the evaluation: simulated ones of a bundled data set, else the users."""
        if self.world is not None:
            return _simulated(self.world)
        own = self.training_interactions()
        chosen = self.interactions.join(self.held_out_items(), on="item_id", how="semi")
        latest = self.interactions["timestamp"].max()
        end = latest + timedelta(seconds=1) if isinstance(latest, datetime) else _NEVER
        return CaseUsers(
            own, _tastes(own, self.items), chosen.select("user_id", "item_id").unique(), end
        )


def load_dataset(
    settings: DataSettings | None = None,
    *,
    held_out: Path | None = None,
    until: datetime | None = None,
) -> Dataset:
    """Loads a catalogue with its users, and labels the items.

    Args:
        settings: Which ones; the bundled stickers by default.
        held_out: A list of `write_held_out`, which holds for items that are still there. Without
            one, a column `held_out` of the catalogue decides, or else `choose_held_out`.
        until: Reads interactions before this time (with a time zone) only.

    Raises:
        CatalogueError: The catalogue or the list cannot be read.
        ConfigError: There is no such scenario, or the catalogue lacks a column that it or
            `settings.taste` names.
        InteractionError: The interactions cannot be read.
    """
    settings = settings or DataSettings()
    prompt = load_prompt(settings.scenario)
    catalogue = load_catalogue(settings.catalogue, prompt.aspect)
    prompt.check_columns(catalogue.text_columns, settings.catalogue)
    interactions, problems = load_interactions(settings.interactions, catalogue, until=until)
    named = settings.catalogue in WORLDS and settings.interactions == settings.catalogue
    world = load_world(settings.catalogue) if named else None
    taste = _taste_column(catalogue, prompt, settings)
    separator = prompt.separator if taste == prompt.taste else None
    style, why_no_style = _labels(catalogue, taste, _STYLE, separator)
    concept, why_no_concept = _labels(catalogue, settings.group_by, "concept", "")
    items = catalogue.items.select("item_id").with_columns(style, concept)
    lacking = {"style": why_no_style, "concept": why_no_concept}
    return Dataset(
        settings=settings,
        catalogue=catalogue,
        interactions=interactions,
        prompt=prompt,
        items=items.with_columns(_held_out(items, catalogue, interactions, held_out)),
        style_descriptions=_descriptions(items["style"], world),
        lacking=MappingProxyType({name: why for name, why in lacking.items() if why}),
        problems=(*catalogue.problems, *problems),
        world=world,
    )


def write_held_out(data: Dataset, path: Path) -> None:
    """Writes the held-out items as a CSV file: `item_id`, `style` and `concept`."""
    with replacing(path) as temporary:
        data.held_out_items().select(_LISTED).write_csv(temporary)


def read_held_out(path: Path) -> pl.Series:
    """Reads the item ids of a list that `write_held_out` wrote.

    Raises:
        CatalogueError: The file cannot be read.
    """
    try:
        return pl.read_csv(path, columns=["item_id"], infer_schema=False)["item_id"]
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CatalogueError(
            f"cannot read the held-out list: {error}",
            location=str(path),
            remedy="Give the held_out.csv of a training folder",
        ) from error


def _taste_column(catalogue: Catalogue, prompt: PromptTemplate, settings: DataSettings) -> str:
    columns = catalogue.text_columns
    if settings.taste is not None:
        if settings.taste not in columns:
            raise ConfigError(
                f"the catalogue has no text column {settings.taste!r}",
                location="taste",
                remedy=f"It has {', '.join(columns)}; leave `taste` out if none is a look",
            )
        return settings.taste
    if _STYLE in columns or prompt.taste not in columns:
        return _STYLE
    # What the instruction names says what an item is, and not how it looks.
    return _STYLE if f"{{{prompt.taste}}}" in prompt.target_template else prompt.taste


def _labels(
    catalogue: Catalogue, column: str | None, kind: str, separator: str | None
) -> tuple[pl.Series, str]:
    """Labels of the items named `kind`, null where there is none, and why there are none at all.

    Of several values of an item the first counts. A style of fewer than four items, or a group of
    one, is no label, and one label for everything is none either.
    """
    nothing = pl.Series(kind, [None] * len(catalogue), pl.String())
    if column is None:
        return nothing, "the settings name no column for it"
    if column not in catalogue.text_columns:
        return nothing, f"the catalogue has no column `{column}`"
    values = item_values(catalogue, column, separator).unique("item_id", keep="first")
    least = _LEAST_OF_STYLE if kind == _STYLE else _LEAST_OF_GROUP
    usable = values.group_by("value").len().filter(pl.col("len") >= least)
    if kind == _STYLE:
        usable = usable.sort("len", "value", descending=[True, False]).head(_MOST_STYLES)
    if usable.height < 2:
        return nothing, f"column `{column}` has not two values of at least {least} items each"
    kept = values.join(usable, on="value", how="semi")
    labelled = catalogue.items.select("item_id").join(
        kept, on="item_id", how="left", maintain_order="left"
    )
    return labelled["value"].alias(kind), ""


def _descriptions(styles: pl.Series, world: World | None) -> Mapping[str, str]:
    if world is not None:
        return world.style_descriptions
    names = styles.drop_nulls().unique().sort().to_list()
    return MappingProxyType({name: name.replace("-", " ").replace("_", " ") for name in names})


def _held_out(
    items: pl.DataFrame, catalogue: Catalogue, interactions: pl.DataFrame, listed: Path | None
) -> pl.Series:
    if listed is not None:
        return items["item_id"].is_in(read_held_out(listed).implode()).alias("held_out")
    if "held_out" in catalogue.items.columns:
        return catalogue.items["held_out"].fill_null(value=False)
    chosen = pl.col("item_id").is_in(interactions["item_id"].unique().implode())
    return choose_held_out(
        items.with_columns(catalogue.items["image_sha256"], chosen.alias("chosen"))
    )


def _simulated(world: World) -> CaseUsers:
    users = world.test_users()
    time = pl.from_epoch("timestamp", time_unit="s").dt.replace_time_zone("UTC")
    tastes = users.users.select("user_id", "preferred_style", "second_style")
    nothing = users.interactions.select("user_id", "item_id").clear()
    own = users.interactions.with_columns(time.dt.cast_time_unit("us"))
    return CaseUsers(own, tastes, nothing, users.end)


def _tastes(interactions: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The style of at least a third of a user's styled items, and a second one of a quarter."""
    styled = interactions.join(items.select("item_id", "style").drop_nulls(), on="item_id")
    counted = (
        styled.group_by("user_id", "style")
        .len()
        .with_columns(share=pl.col("len") / pl.col("len").sum().over("user_id"))
        .sort("user_id", -pl.col("share"), "style")
        .with_columns(place=pl.int_range(pl.len()).over("user_id"))
    )
    first = counted.filter((pl.col("place") == 0) & (pl.col("share") >= _PREFERRED))
    second = counted.filter((pl.col("place") == 1) & (pl.col("share") >= _SECOND))
    return (
        first.select("user_id", preferred_style="style")
        .join(second.select("user_id", second_style="style"), on="user_id", how="left")
        .sort("user_id")
    )
