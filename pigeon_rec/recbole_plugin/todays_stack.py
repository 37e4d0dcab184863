"""RecBole 1.2.1 on today's NumPy, pandas and SciPy.

RecBole was written for NumPy 1, pandas 2 and SciPy 1.12. Each difference is bridged where RecBole
meets it and nowhere else:

- NumPy 2 has no `float_`, `complex_`, `unicode_` and `bool8`. They are there while RecBole makes a
  configuration and while it imports ray, and gone afterwards.
- pandas 3 does not let `frame[column].fillna(..., inplace=True)` change the frame, so missing
  values would stay, and `column.agg(len)` counts rows instead of elements. RecBole's module of data
  sets gets frames that behave as before, and fills missing values column by column.
- SciPy 1.13 has no `dok_matrix._update`, which RecBole's graph models call while they are made.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.dataset import dataset as dataset_module
from recbole.utils import FeatureType
from scipy.sparse import dok_matrix  # type: ignore[import-untyped]

__all__ = ["dok_matrix_update", "numpy_1_names", "prepare"]

_NUMPY_1: Final = {
    "bool8": np.bool_,
    "complex_": np.complex128,
    "float_": np.float64,
    "unicode_": np.str_,
}
_PANDAS_3: Final = int(pd.__version__.partition(".")[0]) >= 3


def prepare() -> None:
    """Bridges the differences of NumPy and pandas; a second call has no effect."""
    if hasattr(Config.compatibility_settings, "__wrapped__"):
        return
    if not all(name in vars(np) for name in _NUMPY_1):
        Config.compatibility_settings = numpy_1_names()(Config.compatibility_settings)
    if _PANDAS_3:
        Dataset._fill_nan = functools.wraps(Dataset._fill_nan)(_fill_nan)
        Dataset._load_feat = _quietly(Dataset._load_feat)
        dataset_module.pd = _Pandas()


@contextlib.contextmanager
def numpy_1_names() -> Iterator[None]:
    """Puts back the names that NumPy 2 has removed, within its block or decorated function."""
    absent = {name: value for name, value in _NUMPY_1.items() if name not in vars(np)}
    vars(np).update(absent)
    try:
        yield
    finally:
        for name in absent:
            vars(np).pop(name, None)


@contextlib.contextmanager
def dok_matrix_update() -> Iterator[None]:
    """Puts back `dok_matrix._update` within its block."""
    if hasattr(dok_matrix, "_update"):
        yield
        return
    dok_matrix._update = lambda self, entries: self._dict.update(entries)
    try:
        yield
    finally:
        del dok_matrix._update


class _Series(pd.Series):
    """A column of a `_Frame`; counts elements as pandas 2 does."""

    @property
    def _constructor(self) -> Any:
        return _Series

    @property
    def _constructor_expanddim(self) -> Any:
        return _Frame

    def agg(self, func: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self.map(len) if func is len else super().agg(func, *args, **kwargs)


class _Frame(pd.DataFrame):
    """A frame of RecBole's data sets, with columns of `_Series`."""

    @property
    def _constructor(self) -> Any:
        return _Frame

    @property
    def _constructor_sliced(self) -> Any:
        return _Series


class _Pandas:
    """pandas as RecBole's module of data sets sees it."""

    DataFrame = _Frame

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)

    @staticmethod
    def read_csv(*args: Any, **kwargs: Any) -> _Frame:
        """Sequences have no missing values: RecBole splits them as text."""
        frame = _Frame(pd.read_csv(*args, **kwargs))
        for column in frame.columns:
            if str(column).endswith("_seq"):
                frame[column] = frame[column].fillna("")
        return frame

    @staticmethod
    def merge(*args: Any, **kwargs: Any) -> _Frame:
        return _Frame(pd.merge(*args, **kwargs))


def _quietly(load: Any) -> Any:
    """Without pandas' warning of a change without effect: `_Pandas.read_csv` has made it."""

    @functools.wraps(load)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ChainedAssignmentError)
            return load(*args, **kwargs)

    return quiet


def _fill_nan(dataset: Any) -> None:
    """RecBole's `Dataset._fill_nan`, assigning whole columns."""
    for name in dataset.feat_name_list:
        feat = getattr(dataset, name)
        for column in feat:
            kind = dataset.field2type[column]
            if kind == FeatureType.TOKEN:
                feat[column] = feat[column].fillna(0)
            elif kind == FeatureType.FLOAT:
                feat[column] = feat[column].fillna(feat[column].mean())
            else:
                empty = np.array([], np.int64 if kind == FeatureType.TOKEN_SEQ else np.float64)
                feat[column] = feat[column].map(
                    lambda value, empty=empty: empty if isinstance(value, float) else value
                )
