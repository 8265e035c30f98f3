"""Safe reading of ``cls_labels.npy``, a dictionary of arrays that NumPy stores as a pickle.

The pickle may build dictionaries, texts, numbers and plain numeric arrays. Arrays are unpickled as inert stand-ins
whose bytes are read afterwards, so nothing that the file names is ever called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tag2mask.errors import DataError
from tag2mask.files import regular

NUMERIC = frozenset({"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"})


# Operations that NumPy writes for such a dictionary, with Python 2 or 3.
OPERATIONS = (
    "PROTO FRAME MARK STOP GLOBAL STACK_GLOBAL REDUCE BUILD EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND "
    "APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 STRING "
    "BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES PUT BINPUT LONG_BINPUT "
    "MEMOIZE GET BINGET LONG_BINGET"
)


class InertType:
    """Stand-in for ``numpy.dtype``."""

    def __init__(self, code: object = "", *options: object) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if isinstance(state[1], str) else ""

    def dtype(self) -> np.dtype[Any]:
        """Return the dtype, if it is a plain number."""
        if self.code not in NUMERIC or self.order not in "<>|=":
            raise pickle.UnpicklingError(f"an array of {self.code!r}")
        return np.dtype(self.order + self.code)


class InertArray:
    """Stand-in for ``numpy.ndarray``."""

    def __init__(self, *arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """Return the array."""
        _, shape, kind, fortran, raw = self.state
        if not isinstance(kind, InertType) or not all(type(side) is int for side in shape):
            raise ValueError("an array without a plain shape and type")
        data = raw.encode("latin-1") if isinstance(raw, str) else raw  # text if Python 2 wrote the file
        return np.frombuffer(data, kind.dtype()).reshape(shape, order="F" if fortran else "C")


def encode_latin(text: str, *encoding: str) -> bytes:
    """Encode text as Latin-1, which is how pickles of protocol 2 store bytes."""
    return text.encode("latin-1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): InertArray,
    ("numpy._core.multiarray", "_reconstruct"): InertArray,
    ("numpy", "ndarray"): InertArray,
    ("numpy", "dtype"): InertType,
    ("_codecs", "encode"): encode_latin,
}


class SafeUnpickler(pickle._Unpickler):  # the one in C trusts the lengths and indices in a file
    """An unpickler limited to the operations in ``OPERATIONS`` and the names in ``ALLOWED``."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Any]] = {
        code: pickle._Unpickler.dispatch[code] for code in (getattr(pickle, name)[0] for name in OPERATIONS.split())
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}"[:80])
        return ALLOWED[module, name]

    def load_build(self) -> None:
        """Set the state of a stand-in; nothing else may have a state."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], InertType | InertArray):
            raise pickle.UnpicklingError("the state of an object that is not an array")
        self.stack[-1].__setstate__(state)

    def load_setitems(self) -> None:
        """Set items whose keys are texts; nested keys could take forever to hash."""
        items = self.pop_mark()
        self.stack[-1].update({require_text(name): value for name, value in zip(items[::2], items[1::2], strict=True)})

    def load_setitem(self) -> None:
        """Set one item whose key is a text."""
        name, value = self.stack[-2:]
        del self.stack[-2:]
        self.stack[-1][require_text(name)] = value

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.SETITEM[0]] = load_setitem


def read_label_vectors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the label vectors by image name.

    Raises:
        DataError: the file is missing, or is not a dictionary of texts and numeric arrays.
    """
    advice = "download it again, or take the tags from elsewhere: --set tags=xml or --set tags=masks"
    try:
        file = io.BytesIO(regular(path).read_bytes())  # never returns more bytes than it has
        formats = np.lib.format
        version = formats.read_magic(file)
        header = formats.read_array_header_1_0 if version[0] == 1 else formats.read_array_header_2_0
        header(file)
        outer = SafeUnpickler(file, encoding="latin-1").load()
        ((vectors,), kind) = outer.state[4], outer.state[2].code
        if kind not in ("O", "O8") or not isinstance(vectors, dict):
            raise ValueError("not a dictionary")
        return {require_text(name): vector.array() for name, vector in vectors.items()}
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {advice}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: holds {error}, but only texts and numeric arrays are read; {advice}") from None
    except Exception as error:  # a damaged or hostile pickle can raise any exception
        raise DataError(f"{path}: is not a dictionary of arrays ({str(error)[:80]}); {advice}") from None


def require_text(name: object) -> str:
    """Check that a key, an image's name, is a text."""
    if not isinstance(name, str):
        raise ValueError(f"a key is a {type(name).__name__}, not a text")
    return name
