"""A place where RecBole may run: what it does to process and disk ends with the `with` block.

RecBole 1.2.1 writes `saved/` and `log_tensorboard/` into the current folder, loads pickles it
finds there, reads `sys.argv` as settings, hides the accelerator by an environment variable, seeds
every global generator, switches autograd's anomaly checks on, gives numpy its removed aliases
back, and logs to the root logger. A fresh current folder, removed afterwards, takes care of the
files (and holds no pickle); the rest is put back as it was. All of it is state of the process:
only one thread may be in here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import dok_matrix  # type: ignore[import-untyped]

__all__ = ["dok_matrix_update", "sandbox"]

_NUMPY_ALIASES = ("bool", "int", "float", "complex", "object", "str", "long", "unicode")


@contextlib.contextmanager
def sandbox(work_dir: Path) -> Iterator[Path]:
    """Enters an empty folder in `work_dir`, on one CPU thread, and leaves no trace.

    One thread, because sums split over several depend on how many there are.

    Yields:
        The folder, which is also the current one; it is removed at the end.
    """
    work_dir = work_dir.resolve()  # the working directory is about to change
    work_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=work_dir))
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(_random_state())
        stack.enter_context(_process_settings())
        stack.enter_context(torch.autograd.set_detect_anomaly(False))
        stack.enter_context(_numpy_aliases())
        stack.enter_context(dok_matrix_update())
        stack.enter_context(_quiet())
        yield Path(folder)


@contextlib.contextmanager
def _random_state() -> Iterator[None]:
    python, numpy, generator = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - RecBole draws from the global generator
        torch.set_rng_state(generator)


@contextlib.contextmanager
def _process_settings() -> Iterator[None]:
    argv, visible = sys.argv, os.environ.get("CUDA_VISIBLE_DEVICES")
    threads = torch.get_num_threads()
    benchmark, deterministic = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    sys.argv = argv[:1]
    torch.set_num_threads(1)
    try:
        yield
    finally:
        sys.argv = argv
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.deterministic = deterministic
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


@contextlib.contextmanager
def _numpy_aliases() -> Iterator[None]:
    before = {name: vars(np)[name] for name in _NUMPY_ALIASES if name in vars(np)}
    try:
        yield
    finally:
        for name in _NUMPY_ALIASES:
            vars(np).pop(name, None)
        vars(np).update(before)


@contextlib.contextmanager
def dok_matrix_update() -> Iterator[None]:
    """LightGCN and its kin fill a matrix by `dok_matrix._update`, gone since SciPy 1.13."""
    if hasattr(dok_matrix, "_update"):
        yield
        return
    dok_matrix._update = lambda self, entries: self._dict.update(entries)
    try:
        yield
    finally:
        del dok_matrix._update


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of RecBole's dependencies about RecBole's code, and its chatter, help nobody."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(max(level, logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"recbole\b")
            yield
    finally:
        root.setLevel(level)
