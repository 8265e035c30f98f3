"""``cls_labels.npy``: a dictionary of arrays that NumPy can only store as a pickle, read without executing one.

The pickle may build dictionaries, texts, numbers and plain numeric arrays. Arrays come as inert stand-ins whose bytes
are read afterwards, so nothing that a file names is ever called.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.errors import DataError
from tag2mask.files import regular

NUMERIC = frozenset({"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"})


class InertType:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: object = "", *options: object) -> None:
        self.code = str(code)
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        """The real type, if it is a plain number."""
        if self.code not in NUMERIC or self.order not in "<>|=":
            raise pickle.UnpicklingError(f"an array of {self.code!r}")
        return np.dtype(self.order + self.code)


class InertArray:
    """Stands for ``numpy.ndarray``."""

    def __init__(self, *arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """The values in their shape."""
        _, shape, kind, fortran, raw = self.state
        data = raw.encode("latin-1") if isinstance(raw, str) else raw  # text where Python 2 wrote the file
        return np.frombuffer(data, kind.dtype()).reshape(shape, order="F" if fortran else "C")


def encode_latin(text: str, *encoding: str) -> bytes:
    """Bytes, as pickles of protocol 2 spell them."""
    return text.encode("latin-1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): InertArray,
    ("numpy._core.multiarray", "_reconstruct"): InertArray,
    ("numpy", "ndarray"): InertArray,
    ("numpy", "dtype"): InertType,
    ("_codecs", "encode"): encode_latin,
}


class Reader(pickle.Unpickler):
    """An unpickler that knows the names in ``ALLOWED`` and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return ALLOWED[module, name]


def read_label_vectors(path: Path) -> dict[str, NDArray[Any]]:
    """Vectors by photograph.

    Raises:
        DataError: missing, or it holds anything but a dictionary of texts and numeric arrays.
    """
    advice = "get it anew, or take the tags from elsewhere: --set tags=xml or --set tags=masks"
    try:
        with regular(path).open("rb") as file:
            version = np.lib.format.read_magic(file)
            formats = np.lib.format
            header = formats.read_array_header_1_0 if version[0] == 1 else formats.read_array_header_2_0
            header(file)
            outer = Reader(file, encoding="latin-1").load()
        ((vectors,), kind) = outer.state[4], outer.state[2].code
        if kind not in ("O", "O8") or not isinstance(vectors, dict):
            raise ValueError("no dictionary")
        return {require_text(name): vector.array() for name, vector in vectors.items()}
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {advice}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: holds {error}, and only texts and numeric arrays are read; {advice}") from None
    except Exception as error:  # a damaged or hostile pickle can end in any of Python's errors
        raise DataError(f"{path}: is no dictionary of arrays ({error}); {advice}") from None


def require_text(name: object) -> str:
    """A photograph's name."""
    if not isinstance(name, str):
        raise ValueError(f"key {name!r} is no text")
    return name
