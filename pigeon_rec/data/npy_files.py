"""Reads untrusted `.npy` files, pickled ones included, without running code from them.

numpy writes a dict or a list as a pickled object array, and a pickle can call any function of any
module. Here it can name numpy's constructors and plain containers only, and each is replaced by a
constructor that checks its arguments. A file is refused before it takes more memory than its size
allows.
"""

from __future__ import annotations

import io
import math
import pickletools  # reads a pickle's instructions without running them
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import Unpickler, UnpicklingError  # noqa: TID251 - with the allow-list below
from tokenize import TokenError
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.errors import CatalogueError

__all__ = ["MAX_BYTES", "MAX_VALUES", "load_npy"]

MAX_BYTES = 512 * 2**20
"""Largest file that is read; real datasets are far smaller."""

MAX_VALUES = 20_000_000
"""Most values in a file, with every reference inside it expanded."""

_DEEPEST = 12
_DTYPE = re.compile(r"[<>|=]?([biufU]\d+|O(8)?|b1)")

_DAMAGED = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError),
    *(SyntaxError, TokenError, TypeError, ValueError),
)
"""What numpy and pickle raise for damaged files."""

_LAST_CHARACTER = 0x10FFFF


def load_npy(path: Path) -> Any:
    """Returns the file's value as plain Python: dicts, lists, strings, numbers, booleans and None.

    Args:
        path: A `.npy` file of an array of numbers or strings, or of a pickled dict or list.

    Raises:
        CatalogueError: The file is missing, damaged, larger than `MAX_BYTES`, holds more than
            `MAX_VALUES` values, or names anything but plain containers and arrays.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _Refused(f"it has {size} bytes, more than {MAX_BYTES}")
        with path.open("rb") as stream:
            return _Plain().convert(_read(stream.read(MAX_BYTES + 1)))
    except OSError as error:
        raise CatalogueError(
            f"cannot read the file: {error.strerror}",
            location=str(path),
            remedy="Give the folder that holds the dataset's .npy files",
        ) from error
    except _Refused as refused:
        raise CatalogueError(
            f"the file is refused: {refused}",
            location=str(path),
            remedy="Only numpy arrays and plain containers are read; no code in it was run",
        ) from refused
    except _DAMAGED as error:
        raise CatalogueError(f"the file is damaged: {error}", location=str(path)) from error


class _Refused(Exception):
    """The reason why a file is refused."""


def _read(data: bytes) -> Any:
    stream = io.BytesIO(data)
    shape, fortran, dtype = _header(stream)
    if dtype.hasobject:
        return _unpickle(data[stream.tell() :])
    return _filled(shape, dtype.str, fortran, data[stream.tell() :])


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    layout: Any = np.lib.format  # its functions have no annotations
    version = layout.read_magic(stream)
    readers = {(1, 0): layout.read_array_header_1_0, (2, 0): layout.read_array_header_2_0}
    if version not in readers:
        raise _Refused(f"it has format version {version}; known are {sorted(readers)}")
    shape, fortran, dtype = readers[version](stream)
    return shape, fortran, dtype


def _filled(shape: Any, code: str, fortran: object, content: object) -> NDArray[Any]:
    """Returns `content` as an array, after checking that shape, dtype and content fit."""
    if not all(type(size) is int and size >= 0 for size in shape):
        raise _Refused(f"it holds an array of shape {shape}")
    dtype, count = np.dtype(_plain_code(code)), math.prod(shape)
    if count > MAX_VALUES:
        raise _Refused(f"it holds an array of {count} values, more than {MAX_VALUES}")
    kind, size = (list, count) if dtype.hasobject else (bytes, count * dtype.itemsize)
    if not isinstance(content, kind) or len(content) != size:
        raise _Refused(f"it declares an array of {shape} {dtype} but holds another")
    if isinstance(content, list):
        flat = np.fromiter(content, dtype=object, count=count)
    else:
        flat = np.frombuffer(content, dtype) if content else np.empty(count, dtype)
        _check_characters(flat)
    return flat.reshape(shape, order="F" if fortran else "C")


def _check_characters(flat: NDArray[Any]) -> None:
    """Refuses strings with numbers that are not Unicode code points."""
    if flat.dtype.kind == "U" and flat.itemsize and flat.size:
        codes = flat.view(f"{flat.dtype.str[0]}u4")
        if codes.max() > _LAST_CHARACTER:
            raise _Refused("it holds strings of invalid characters")


def _plain_code(code: object) -> str:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise _Refused(f"it holds values of dtype {code!r}")
    return code


def _unpickle(data: bytes) -> Any:
    _check_instructions(data)
    try:
        return _SafeUnpickler(io.BytesIO(data)).load()
    except UnpicklingError as error:
        raise _Refused(str(error)) from error


def _check_instructions(data: bytes) -> None:
    """Refuses memo indices beyond the file's size, for which pickle would allocate memory."""
    for opcode, argument, _ in pickletools.genops(data):
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(data):
            raise _Refused(f"it has memo index {argument} in {len(data)} bytes")


class _SafeUnpickler(Unpickler):  # noqa: S301 - the restricted unpickler itself
    """An unpickler that allows only the names in `_KNOWN`, with our constructors for them."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise _Refused(f"it names {module}.{name}")
        return known


class _Constructor:
    """Replaces an allowed name. A pickle can call it and pass it on, but not change it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> Any:
        return self._make(*arguments)

    def __setstate__(self, _: object) -> None:
        raise _Refused("it changes a function")


class _Dtype:
    """Replaces `numpy.dtype` while a file is read; allows plain dtypes only."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = _plain_code(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # Fields, flags and sizes are ignored: the code describes a plain dtype completely.
        self.code = _plain_code(f"{state[1]}{self.code.lstrip('<>|=')}")


class _Array:
    """Replaces `numpy.ndarray` while a file is read.

    Attributes:
        value: The array; None until its state has been read.
    """

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype):
            raise _Refused("it holds an array without a plain dtype")
        self.value = _filled(shape, dtype.code, fortran, content)


def _new_array(kind: object, *_: object) -> _Array:
    if kind is not _NDARRAY:
        raise _Refused("it holds an array of another class")
    return _Array()


def _new_scalar(dtype: object, content: object = b"") -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
        raise _Refused("it holds a malformed number")
    return _filled((1,), dtype.code, False, content)[0].item()


def _new_dict(*_: object) -> dict[Any, Any]:
    """Replaces `OrderedDict` and `defaultdict` (without its default factory)."""
    return {}


def _not_called(*_: object) -> None:
    raise _Refused("it calls a function")


_NDARRAY = _Constructor(_not_called)

_KNOWN: Mapping[tuple[str, str], _Constructor] = MappingProxyType(
    {
        **{
            (f"numpy.{core}.multiarray", name): _Constructor(make)
            for core in ("core", "_core")  # before numpy 2 and since
            for name, make in (("_reconstruct", _new_array), ("scalar", _new_scalar))
        },
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): _Constructor(_Dtype),
        ("collections", "OrderedDict"): _Constructor(_new_dict),
        ("collections", "defaultdict"): _Constructor(_new_dict),
        # Only as the argument of a defaultdict.
        **{
            ("builtins", name): _Constructor(_not_called)
            for name in ("dict", "float", "int", "list", "str")
        },
    }
)
"""Every allowed name -> what is called instead."""


class _Plain:
    """Converts to plain Python, counting values: a small file can expand to a huge value."""

    def __init__(self) -> None:
        self.values = 0

    def convert(self, value: Any, depth: int = 0) -> Any:
        value = value.value if isinstance(value, _Array) else value
        value = value.tolist() if isinstance(value, np.ndarray) else value
        self.values += 1
        if self.values > MAX_VALUES or depth > _DEEPEST:
            raise _Refused(f"it holds more than {MAX_VALUES} values or {_DEEPEST} nested levels")
        if isinstance(value, dict):
            return {self._key(k): self.convert(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.convert(v, depth + 1) for v in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise _Refused(f"it holds a {type(value).__name__}")

    def _key(self, key: Any) -> Any:
        if not isinstance(key, bool | int | float | str):
            raise _Refused(f"it holds a dict with a {type(key).__name__} as its key")
        return key
