from __future__ import annotations

from typing import Any

import pytest

from tag2mask.notation import from_json, from_word, from_yaml, to_yaml
from tag2mask.settings import assign


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("012", "012"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-13-45", "2024-13-45"),
        ("a: b", "a: b"),
        ("#x", "#x"),
        ("1e400", "1e400"),
        ("9" * 5000, "9" * 5000),
        ("[[", "[["),
        ("-1", -1),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("null", None),
        ("", None),
        ("[0.5, no, 012, 1e-3]", [0.5, "no", "012", 0.001]),
        ("{a: off}", {"a": "off"}),
        ('"5"', "5"),
    ],
)
def test_a_word_is_what_json_takes_it_for(text: str, value: object) -> None:
    found = from_word(text)
    assert (found, type(found)) == (value, type(value))
    assert assign({}, [f"x={text}"]) == {"x": value}


ALIASES = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
        (b"[" * 5000, "is nested too deeply"),
        (b"[" * 60 + b"]" * 60, "is nested more than 50 levels deep"),
        (b"a: !!timestamp 2024-99-99", "month must be in 1..12"),
        (b"a: !!timestamp soon", "holds a value that does not fit its tag"),
        (b"a: !!timestamp 2024-01-01", "holds a date; expected texts, numbers, true, false or null"),
        (b"a: " + b"9" * 5000, "holds the integer 99999999999999999999, which is too large"),
        (b"a: 1e400", "holds 1e400, which is not a finite number"),
        (b"a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        (b"a: &a [*a]", "is nested more than 50 levels deep"),
        (b"1.5: 2", "has the key 1.5, which is not a text; put it in quotes"),
        (ALIASES, "has more than 2000000 values"),
        (b"#" * (16 * 2**20 + 1), "is larger than 16 MiB"),
    ],
)
def test_what_is_no_plain_yaml_is_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        from_yaml(content)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[1e400]", "holds 1e400, which is not a finite number"),
        (b"[NaN]", "holds NaN, which is not a finite number"),
        (b"[-Infinity]", "holds -Infinity, which is not a finite number"),
        (b"[" + b"9" * 5000 + b"]", "holds the integer 99999999999999999999, which is too large"),
        (b"", "Expecting value"),
    ],
)
def test_what_is_no_plain_json_is_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        from_json(content)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"split": "no", "weights": "1e3", "masks": "012", "labels": "0x1F", "method": "null", "name": "~", "walk": "1"},
        {"lr": 1e-5, "seed": 0, "flip": True, "val": None, "scales": [0.5, 1.0], "path": "/a\udcff/b"},
    ],
)
def test_yaml_is_read_as_it_was_written(values: dict[str, Any]) -> None:
    assert from_yaml(to_yaml(values).encode()) == values
