"""Context managers that undo what RecBole does to the process and the disk.

RecBole 1.2.1 writes `saved/` and `log_tensorboard/` into the current folder, loads pickles it
finds there, reads `sys.argv` as settings, hides the accelerator by an environment variable, seeds
every global generator, turns autograd's anomaly detection on, adds the aliases that NumPy removed,
and logs to the root logger. `sandbox` runs it in a new folder, which holds no pickle and is removed
afterwards, and restores the rest. All of this is process state: use it from one thread at a time.
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

from pigeon_rec.recbole_plugin.todays_stack import dok_matrix_update
from pigeon_rec.runtime.files import real_path

__all__ = ["no_command_line", "random_state", "sandbox"]

_NUMPY_ALIASES = ("bool", "int", "float", "complex", "object", "str", "long", "unicode")


@contextlib.contextmanager
def sandbox(work_dir: Path) -> Iterator[Path]:
    """Runs its block in an empty folder inside `work_dir`, on one CPU thread.

    One thread, because the rounding of parallel sums depends on the number of threads.

    Yields:
        The folder, which is also the current one; it is removed at the end.
    """
    work_dir = real_path(work_dir)  # the working directory is about to change
    work_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # The process in the name lets the next night remove what a killed one leaves.
        prefix = f"run-{os.getpid()}-"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=work_dir))
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(random_state())
        stack.enter_context(no_command_line())
        stack.enter_context(_process_settings())
        stack.enter_context(torch.autograd.set_detect_anomaly(False))
        stack.enter_context(_numpy_aliases())
        stack.enter_context(dok_matrix_update())
        stack.enter_context(_quiet())
        yield Path(folder)


@contextlib.contextmanager
def no_command_line() -> Iterator[None]:
    """Keeps RecBole from reading the host program's arguments as settings."""
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        yield
    finally:
        sys.argv = arguments


@contextlib.contextmanager
def random_state() -> Iterator[None]:
    """Restores Python's, NumPy's and torch's global random generators after its block."""
    python, numpy, generator = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - RecBole draws from the global generator
        torch.set_rng_state(generator)


@contextlib.contextmanager
def _process_settings() -> Iterator[None]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    threads = torch.get_num_threads()
    benchmark, deterministic = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.set_num_threads(1)
    try:
        yield
    finally:
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
def _quiet() -> Iterator[None]:
    """Hides log lines below ERROR, and warnings about RecBole's own code."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(max(level, logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"recbole\b")
            yield
    finally:
        root.setLevel(level)
