"""Where the item vectors of a RecBole run come from: finding, checking and reading their file.

The wrapper reads the file itself, after RecBole has read and filtered the data set, so that the
file never changes which items there are. RecBole's own settings for pre-trained item features may
load the same file besides, for a base model that uses it; then `drop_filtered_items` removes the
rows of items that RecBole's filters have removed, before RecBole numbers the items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import recbole
from recbole.utils import FeatureType

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin.feature_file import FeatureColumns, ItemVectors, read_item_vectors
from pigeon_rec.recbole_plugin.settings import PigeonSettings

__all__ = [
    "drop_filtered_items",
    "find_features",
    "load_features",
    "load_item_vectors",
    "remember_items",
]

_BUNDLED: Final = "ml-100k"  # RecBole reads this one from its own wheel, regardless of `data_path`
_BEFORE: Final = "pigeon_items_before_filters"  # attribute of RecBole's data sets
_REMEDY: Final = "Write it with `pigeon-rec recbole features`"


def find_features(config: Any, settings: PigeonSettings, dataset: str) -> Path | None:
    """Returns the feature file of a run, and checks RecBole's own settings for such files.

    Args:
        config: RecBole's configuration, with its internal and external parts read.
        settings: The wrapper's settings.
        dataset: Name of the data set.

    Raises:
        ConfigError: A named file is missing, RecBole's settings contradict each other, or they load
            item features of another suffix, which the wrapper would silently leave out.
    """
    merged = {**config.internal_config_dict, **config.external_config_dict}
    names = [folder / f"{dataset}.{settings.visual_suffix}" for folder in _folders(merged, dataset)]
    found = settings.features or next((path for path in names if path.is_file()), None)
    if settings.features is not None and not settings.features.is_file():
        raise ConfigError(
            f"the file of item vectors [{settings.features}] does not exist",
            location="pigeon_features",
            remedy=_REMEDY,
        )
    given = config.external_config_dict
    if given.get("additional_feat_suffix") or given.get("preload_weight"):
        suffixes = _suffixes(given)
        for suffix in suffixes:
            _check_exists(names[-1].with_name(f"{dataset}.{suffix}"))
        preloaded = given.get("preload_weight") or {}
        if not suffixes and settings.visual_id_field in preloaded:
            raise ConfigError(
                f"preload_weight names [{settings.visual_id_field}], but additional_feat_suffix "
                "loads no file",
                location="additional_feat_suffix",
                remedy=f"Set additional_feat_suffix: [{settings.visual_suffix}]",
            )
        if settings.visual_suffix in suffixes:
            _check_conventions(merged, settings)
        if found is None and settings.visual_weight != 0.0 and suffixes:
            raise _left_out(suffixes, settings)
    return found


def load_item_vectors(config: Any, dataset: Any) -> ItemVectors | None:
    """Reads the vectors of a data set's items; `None` if there is no file or the weight is 0.

    Raises:
        ConfigError: The file cannot be read or its header lacks a field.
        InteractionError: It has vectors for too few items of the data set.
    """
    settings = PigeonSettings.of(config.final_config_dict)
    path = settings.features
    if "pigeon_features" not in config:  # a checkpoint from before there was the setting
        beside = Path(config["data_path"]) / f"{config['dataset']}.{settings.visual_suffix}"
        path = beside if beside.is_file() else None
    if path is None or settings.visual_weight == 0.0:
        return None
    columns = FeatureColumns(
        settings.visual_id_field,
        settings.visual_field,
        config["seq_separator"] or " ",
        config["field_separator"] or "\t",
        config["encoding"] or "utf-8",
    )
    ids = dataset.field2token_id[dataset.iid_field]
    before = getattr(dataset, _BEFORE, frozenset[str]())
    return read_item_vectors(path, columns, ids, min_share=settings.min_coverage, filtered=before)


def remember_items(dataset: Any) -> None:
    """Keeps a data set's item tokens before its filters, to tell filtered items from unknown."""
    setattr(dataset, _BEFORE, frozenset(dataset.inter_feat[dataset.iid_field].dropna()))


def drop_filtered_items(dataset: Any) -> None:
    """Drops rows of item features that RecBole loads, if their item is not in the data set.

    Call it after RecBole's filters and before it numbers the items.
    """
    suffixes = dataset.config["additional_feat_suffix"] or []
    known: set[str] = set()
    for table, field, kind in dataset._get_remap_list(dataset.alias["item_id"]):
        if dataset.field2source[field] not in suffixes:
            values = table[field].to_numpy()
            known.update(np.concatenate(values) if kind == FeatureType.TOKEN_SEQ else values)
    for suffix in suffixes:
        feat: Any = getattr(dataset, f"{suffix}_feat", None)
        for field in () if feat is None else sorted({*feat.columns} & {*dataset.alias["item_id"]}):
            feat = feat[feat[field].isin(known)].reset_index(drop=True)
        if feat is not None:
            setattr(dataset, f"{suffix}_feat", feat)


def load_features(load: Callable[[], None], dataset: Any) -> None:
    """Has RecBole load its feature files, and names them if one is broken.

    Raises:
        ConfigError: RecBole cannot read a file.
    """
    try:
        load()
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # for any broken line
        suffixes = ", ".join(dataset.config["additional_feat_suffix"] or [])
        raise ConfigError(
            f"RecBole cannot read the feature files [{suffixes}]: {error}",
            location=f"{dataset.dataset_path}, additional_feat_suffix",
            remedy=f"{_REMEDY}, in the separators of the data set: give --config",
        ) from error


def _folders(merged: Mapping[str, Any], dataset: str) -> list[Path]:
    """Folders that may hold the feature file; the last is the one that RecBole reads."""
    own = Path(str(merged["data_path"])) / dataset
    if dataset != _BUNDLED:
        return [own]
    return [own, Path(recbole.__file__).parent / "dataset_example" / dataset]


def _suffixes(given: Mapping[str, Any]) -> list[str]:
    suffixes = given.get("additional_feat_suffix") or []
    return [suffixes] if isinstance(suffixes, str) else list(suffixes)


def _left_out(suffixes: Sequence[str], settings: PigeonSettings) -> ConfigError:
    return ConfigError(
        f"additional_feat_suffix loads [{', '.join(suffixes)}], but item vectors are expected in a "
        f"file of the suffix [{settings.visual_suffix}], which does not exist",
        location="pigeon_visual_suffix",
        remedy=f"Set pigeon_visual_suffix: {suffixes[0]}, with pigeon_visual_id_field and "
        "pigeon_visual_field, to use that file, or pigeon_visual_weight: 0 to go without visuals",
    )


def _check_exists(path: Path) -> None:
    """Checks a file that RecBole is to load.

    Raises:
        ConfigError: It does not exist.
    """
    if not path.is_file():
        raise ConfigError(
            f"additional feature file [{path}] not found",
            location="additional_feat_suffix",
            remedy=f"{_REMEDY}, or correct the suffix",
        )


def _check_conventions(merged: Mapping[str, Any], settings: PigeonSettings) -> None:
    """Checks RecBole's settings of the item vectors that it is to load against each other.

    Raises:
        ConfigError: A field is not loaded, or its ids are not those of the items; the location is
            the name of RecBole's setting.
    """
    suffix = settings.visual_suffix
    id_field, field = settings.visual_id_field, settings.visual_field
    preloaded = merged.get("preload_weight") or {}
    if preloaded.get(id_field) != field:
        raise ConfigError(
            f"preload_weight has no [{id_field}: {field}]",
            location="preload_weight",
            remedy=f"Set preload_weight: {{{id_field}: {field}}}",
        )
    if id_field not in (merged.get("alias_of_item_id") or []):
        raise ConfigError(
            f"alias_of_item_id has no [{id_field}], so its ids are not item ids",
            location="alias_of_item_id",
            remedy=f"Set alias_of_item_id: [{id_field}]",
        )
    load_col = merged.get("load_col")
    loaded = "*" if load_col is None else load_col.get(suffix, [])
    missing = [] if loaded == "*" else [name for name in (id_field, field) if name not in loaded]
    if missing:
        raise ConfigError(
            f"load_col does not load [{', '.join(missing)}] of [{suffix}]",
            location="load_col",
            remedy=f"Add {suffix}: [{id_field}, {field}] to load_col",
        )
