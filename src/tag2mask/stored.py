"""Reading files that tag2mask wrote earlier. Each is validated by a schema, so any damage gives a one-line error.

A schema is a ``Stored`` class, or any dataclass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)

from tag2mask.errors import RunError, Tag2MaskError
from tag2mask.notation import from_json, from_yaml, require_plain_values
from tag2mask.settings import LARGEST, complaint

T = TypeVar("T")


def require_path_text(text: str) -> str:
    """Check that a text can be a path.

    Raises:
        ValueError: it cannot.
    """
    if not text or "\0" in text:
        raise ValueError("expected a path")
    return text


Flag = StrictBool
Number = StrictFloat  # accepts integers too
Count = Annotated[StrictInt, Field(ge=0)]
Measured = Annotated[StrictFloat, Field(ge=-LARGEST[float], le=LARGEST[float])]
Place = Annotated[str, AfterValidator(require_path_text)]


class Stored(BaseModel):
    """Base of schemas; keys that a schema does not name are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


def validate(kind: type[T], content: Any) -> T:
    """Validate ``content`` as ``kind`` and return it.

    Raises:
        ValueError: something is missing or has another type.
    """
    require_plain_values(content)
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(complaint(key, first)) from None


def read_plain(path: Path) -> Any:
    """Read a JSON or YAML file.

    Raises:
        ValueError: its content is invalid.
        OSError: it cannot be read.
    """
    return (from_yaml if path.suffix == ".yaml" else from_json)(path.read_bytes())


def read_stored(path: Path, kind: type[T], error: type[Tag2MaskError] = RunError) -> T:
    """Read a JSON or YAML file as ``kind``.

    Raises:
        Tag2MaskError: an ``error``; it is missing or damaged.
    """
    with damaged(path, error):
        return validate(kind, read_plain(path))


def read_rows(path: Path, kind: type[T], error: type[Tag2MaskError] = RunError) -> list[T]:
    """Read a file with one JSON object per line.

    Raises:
        Tag2MaskError: an ``error``; it is missing or damaged.
    """
    with damaged(path, error):
        return [validate_row(kind, number, line) for number, line in enumerate(path.read_bytes().splitlines(), start=1)]


def validate_row(kind: type[T], number: int, line: bytes) -> T:
    """Parse and validate one line.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return validate(kind, from_json(line))
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def drop_torn_line(path: Path) -> None:
    """Cut off a last line that an interruption left incomplete."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


@contextmanager
def damaged(path: Path, error: type[Tag2MaskError] = RunError, mend: str | None = None) -> Iterator[None]:
    """Turn errors while reading one of our files into an ``error`` about a damaged file.

    ``mend`` says what to do; None asks for an intact copy or a new folder.

    Raises:
        Tag2MaskError: an ``error``; the file cannot be read or is damaged.
    """
    try:
        yield
    except OSError as cause:
        raise error(f"{path} cannot be read ({cause.strerror or cause})") from None
    except ValueError as cause:
        reason = " ".join(str(cause).split())
        mend = mend or f"restore an intact copy, or create {path.parent} again"
        raise error(f"{path} is damaged ({reason}); {mend}") from None
