"""Hostile `.npy` files, one per attack; written by hand, since no library writes them."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["HOSTILE", "TRIPWIRE", "pickled"]

TRIPWIRE = "PIGEON_REC_CODE_WAS_RUN"
"""Set in the environment by every file whose code is run."""

_DTYPE = b"cnumpy\ndtype\n"
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
_OBJECTS = _DTYPE + b"X\x02\x00\x00\x00O8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xff"
_OBJECTS += b"J\xff\xff\xff\xffK?tb"


def pickled(body: bytes, shape: tuple[int, ...] = ()) -> bytes:
    """A `.npy` file of objects with this pickle behind its header."""
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
    return stream.getvalue() + body


class _Runs:
    """What a pickle of it asks for on loading: any function with any arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.wanted = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.wanted


def _saved(value: object) -> bytes:
    stream = io.BytesIO()
    box = np.empty((), dtype=object)
    box[()] = value
    np.save(stream, box)
    return stream.getvalue()


def _header_only(descr: str, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
    return stream.getvalue()


def _filled(state: bytes) -> bytes:
    """An array whose state is `(1, shape, type, False, content)` as the pickle `state` says."""
    return pickled(b"\x80\x03" + _ARRAY + b"(K\x01" + state + b"tb.")


def _many_lists() -> bytes:
    """A list of a list of ... of itself ten times over: 10^9 values in a few bytes."""
    body = b"\x80\x03]q\x00(" + b"K\x01" * 10 + b"e"
    for memo in range(8):
        body += b"]" + bytes([ord("q"), memo + 1]) + b"(" + bytes([ord("h"), memo]) * 10 + b"e"
    return pickled(body + b".")


def _torch_tensor() -> bytes:
    import torch

    return _saved({"chosen": torch.zeros(2)})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "foreign function": (lambda: _saved(_Runs(os.putenv, TRIPWIRE, "1")), "posix.putenv"),
    "evaluated text": (
        lambda: _saved([_Runs(eval, f"__import__('os').putenv('{TRIPWIRE}', '1')")]),  # noqa: S307
        "builtins.eval",
    ),
    "foreign class": (lambda: _saved({"a": Path("x")}), "pathlib"),
    "tensor": (_torch_tensor, "torch"),
    "named inside numpy": (
        lambda: pickled(b"\x80\x03cnumpy.core.multiarray\nfromfile\n."),
        "numpy.core.multiarray.fromfile",
    ),
    "function instead of a value": (lambda: pickled(b"\x80\x03cbuiltins\nlist\n."), "Constructor"),
    "call of a factory": (lambda: pickled(b"\x80\x03cbuiltins\nlist\n)R."), "calls a function"),
    "change of a function": (
        lambda: pickled(b"\x80\x03cnumpy\ndtype\n}X\x05\x00\x00\x00_makeNsb."),
        "changes a function",
    ),
    "array of another class": (
        lambda: pickled(
            b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncbuiltins\ndict\nK\x00\x85C\x01b\x87R."
        ),
        "another class",
    ),
    "huge array in the header": (lambda: _header_only("<f8", (10**12,)), "more than"),
    "array without its bytes": (lambda: _header_only("<i8", (1000,)) + b"few", "declares"),
    "huge array of nothing": (lambda: _header_only("<U0", (10**12,)), "more than"),
    "strings of no characters": (
        lambda: _header_only("<U1", (1,)) + b"\xff\xff\xff\x7f",
        "invalid characters",
    ),
    "records": (lambda: _header_only("<V16", (1,)) + bytes(16), "dtype"),
    "huge array in the pickle": (
        lambda: _filled(
            b"\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85" + _OBJECTS + b"\x89]"
        ),
        "more than",
    ),
    "negative size": (
        lambda: _filled(b"J" + struct.pack("<i", -1) + b"\x85" + _OBJECTS + b"\x89]"),
        "shape",
    ),
    "objects made of bytes": (
        lambda: _filled(b"K\x01\x85" + _OBJECTS + b"\x89C\x08AAAAAAAA"),
        "declares",
    ),
    "type with objects inside": (
        lambda: pickled(b"\x80\x03" + _DTYPE + b"X\x03\x00\x00\x00V16\x89\x88\x87R."),
        "dtype 'V16'",
    ),
    "huge memo": (
        lambda: pickled(b"\x80\x03]r" + struct.pack("<I", 2**31) + b"."),
        "memo index",
    ),
    "values in values": (lambda: pickled(b"\x80\x03" + b"]" * 50 + b"a" * 49 + b"."), "nested"),
    "one value many times": (_many_lists, "more than"),
    "bytes": (lambda: _saved({"a": b"raw"}), "bytes"),
    "tuple as a key": (lambda: _saved({(1, 2): 3}), "tuple"),
    "persistent id": (lambda: pickled(b"\x80\x03X\x01\x00\x00\x00aQ."), "persistent"),
    "newer format": (lambda: b"\x93NUMPY\x03\x00" + bytes(64), "version"),
}
"""Name -> the file's bytes, and a part of the refusal."""
