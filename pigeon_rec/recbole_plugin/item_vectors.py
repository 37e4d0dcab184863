"""Where the item vectors of a RecBole run come from: finding, checking and reading their file.

The wrapper reads the file itself, after RecBole has read and filtered the data set, so that the
file never changes which items there are. RecBole's own settings for pre-trained item features may
load the same file besides, for a base model that uses it; then `drop_filtered_items` removes the
rows of items that RecBole's filters have removed, before RecBole numbers the items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import recbole
from recbole.utils import FeatureType

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin.feature_file import FeatureColumns, ItemVectors, read_item_vectors
from pigeon_rec.recbole_plugin.settings import PigeonSettings

__all__ = ["drop_filtered_items", "find_features", "load_item_vectors", "remember_items"]

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
        _check_conventions(merged, suffixes, settings, names[-1])
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
    """Drops rows of the feature file that RecBole loads, if their item is not in the data set.

    Call it after RecBole's filters and before it numbers the items.
    """
    settings = PigeonSettings.of(dataset.config.final_config_dict)
    feat = getattr(dataset, f"{settings.visual_suffix}_feat", None)
    if feat is None or settings.visual_id_field not in feat:
        return
    known: set[str] = set()
    for other, field, kind in dataset._get_remap_list(dataset.alias["item_id"]):
        if field != settings.visual_id_field:
            values = other[field].to_numpy()
            known.update(np.concatenate(values) if kind == FeatureType.TOKEN_SEQ else values)
    kept = feat[feat[settings.visual_id_field].isin(known)].reset_index(drop=True)
    setattr(dataset, f"{settings.visual_suffix}_feat", kept)


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


def _check_conventions(
    merged: Mapping[str, Any], suffixes: Sequence[str], settings: PigeonSettings, path: Path
) -> None:
    """Checks RecBole's four settings of pre-trained item features against each other.

    Raises:
        ConfigError: The file of a suffix is missing, a field is not loaded, or its ids are not
            those of the items; the location is the name of RecBole's setting.
    """
    suffix = settings.visual_suffix
    id_field, field = settings.visual_id_field, settings.visual_field
    preloaded = merged.get("preload_weight") or {}
    if suffix not in suffixes:
        if id_field in preloaded:
            raise ConfigError(
                f"preload_weight names [{id_field}], but additional_feat_suffix "
                f"{list(suffixes)} does not load [{suffix}]",
                location="additional_feat_suffix",
                remedy=f"Add {suffix}, or set pigeon_visual_suffix to the suffix of your file",
            )
        return  # other features than item vectors
    if not path.is_file():
        raise ConfigError(
            f"additional feature file [{path}] not found",
            location="additional_feat_suffix",
            remedy=f"{_REMEDY}, or correct the suffix",
        )
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
