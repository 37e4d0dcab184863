"""The items of a RecBole data set, from its atomic files, before RecBole's filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import recbole

from pigeon_rec.errors import ConfigError, InteractionError
from pigeon_rec.recbole_plugin.feature_file import separator_of

__all__ = ["DatasetFiles", "item_tokens", "surviving_items"]

_REMEDY: Final = "Give the folder and the name of a data set in RecBole's atomic files"


@dataclass(frozen=True)
class DatasetFiles:
    """A data set's atomic files, and how they are written.

    Attributes:
        folder: `<data_path>/<dataset>` in RecBole's terms.
        item_field: Field of item ids.
        field_separator: Between fields; if a header does not fit it, others are tried.
        seq_separator: Between the items of a sequence.
        list_suffix: Suffix of the field of item sequences.
    """

    folder: Path
    item_field: str = "item_id"
    field_separator: str = "\t"
    seq_separator: str = " "
    list_suffix: str = "_list"

    @classmethod
    def of(cls, folder: Path, settings: Mapping[str, Any]) -> DatasetFiles:
        """With the names and separators of RecBole's settings."""
        return cls(
            folder,
            settings.get("ITEM_ID_FIELD") or "item_id",
            settings.get("field_separator") or "\t",
            settings.get("seq_separator") or " ",
            settings.get("LIST_SUFFIX") or "_list",
        )


def item_tokens(files: DatasetFiles) -> list[str]:
    """Returns the distinct item tokens of a data set's files, sorted.

    They are those of `<dataset>.inter` or else of its benchmark files `<dataset>.*.inter`, their
    sequences included, and of `<dataset>.item`.

    Raises:
        InteractionError: There are no such files, or one has no field of item ids.
    """
    name = files.folder.name
    places = (_inter_files(folder, name) for folder in _folders(files))
    paths = next((here for here in places if here), [])
    if not paths:
        raise InteractionError(
            f"there is no {name}.inter and there are no benchmark files {name}.*.inter",
            location=str(files.folder),
            remedy=_REMEDY,
        )
    items = paths[0].with_name(f"{name}.item")
    found: set[str] = set()
    for path in [*paths, *([items] if items.is_file() else [])]:
        found.update(_tokens(path, files))
    return sorted(found)


def surviving_items(files: DatasetFiles, configs: Sequence[Path]) -> set[str]:
    """Returns the items that are left after the filters of RecBole config files.

    Raises:
        ConfigError: A setting is wrong, or RecBole cannot read the data set with them.
    """
    from recbole.config import Config
    from recbole.data import create_dataset

    from pigeon_rec.recbole_plugin.recommender import PigeonRecommender
    from pigeon_rec.recbole_plugin.sandbox import no_command_line, random_state

    given = {"data_path": str(files.folder.parent), "pigeon_visual_weight": 0}
    try:
        with no_command_line(), random_state():
            config = Config(
                model=PigeonRecommender,
                dataset=files.folder.name,
                config_file_list=[str(path) for path in configs],
                config_dict=given,
            )
            dataset = create_dataset(config)
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError) as error:  # what RecBole raises for wrong settings
        raise ConfigError(
            f"RecBole cannot read the data set with these settings: {error}",
            location=", ".join(map(str, configs)),
            remedy="Correct them; load_col, for example, must load the fields of val_interval",
        ) from error
    return {str(token) for token in dataset.field2id_token[dataset.iid_field][1:]}


def _folders(files: DatasetFiles) -> list[Path]:
    """The data set's folder, and the one inside RecBole for a data set that comes with it."""
    return [
        files.folder,
        Path(recbole.__file__).parent / "dataset_example" / files.folder.name,
    ]


def _inter_files(folder: Path, name: str) -> list[Path]:
    whole = folder / f"{name}.inter"
    return [whole] if whole.is_file() else sorted(folder.glob(f"{name}.*.inter"))


def _tokens(path: Path, files: DatasetFiles) -> set[str]:
    """Item tokens of one file."""
    one, many = f"{files.item_field}:token", f"{files.item_field}{files.list_suffix}:token_seq"
    try:
        with path.open(encoding="utf-8") as stream:
            header = stream.readline().rstrip("\r\n")
        separator = separator_of(header, (one,), files.field_separator)
        if separator is None:
            raise InteractionError(
                f"the header has no {one}",
                location=f"{path}, line 1: {header[:200]}",
                remedy="Name its field in ITEM_ID_FIELD of a RecBole config file, and give that "
                "file with --config",
            )
        rows = pl.read_csv(path, separator=separator, quote_char=None, infer_schema=False)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise InteractionError(
            f"cannot read the interactions: {error}", location=str(path), remedy=_REMEDY
        ) from error
    found = set(rows[one].drop_nulls())
    if many in rows.columns:
        lists = rows[many].drop_nulls().str.split(files.seq_separator)
        found.update(lists.explode().drop_nulls())
    return found - {""}
