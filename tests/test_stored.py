from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import Field

from tag2mask.data import Classes
from tag2mask.errors import DataError, MaskSetError, RunError
from tag2mask.masks.write import open_mask_set
from tag2mask.stored import Count, Flag, Number, Place, Stored, drop_torn_line, read_rows, read_stored, validate


class Sheet(Stored):
    name: str
    count: Count = 0
    share: Number | None = None
    ready: Flag = False
    place: Place = "."
    parts: dict[str, list[str]] = Field(default_factory=dict)


@dataclasses.dataclass
class Line:
    name: str
    tags: list[str] | None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "expected a dictionary, got []"),
        ("{}", "'name' is missing"),
        ('{"name": 5}', "name: expected text, got 5"),
        ('{"name": "a", "count": "5"}', "count: expected a whole number, got '5'"),
        ('{"name": "a", "count": true}', "count: expected a whole number, got True"),
        ('{"name": "a", "count": -1}', "count: expected a number greater than or equal to 0, got -1"),
        ('{"name": "a", "share": NaN}', "holds NaN, which is not a finite number"),
        ('{"name": "a", "share": 1e400}', "holds 1e400, which is not a finite number"),
        ('{"name": "a", "ready": 1}', "ready: expected true or false, got 1"),
        ('{"name": "a", "place": "a\\u0000b"}', r"place: expected a path, got 'a\x00b'"),
        ('{"name": "a", "parts": {"x": [1]}}', "parts.x.0: expected text, got 1"),
        ('{"name": "a", "parts": ' + "[" * 200 + "]" * 200 + "}", "is nested more than 50 levels deep"),
        ("\udcff", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_damage_is_one_line_that_names_file_field_and_way_out(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "sheet.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(MaskSetError) as error:
        read_stored(path, Sheet, MaskSetError)
    assert str(error.value).startswith(f"{path} is damaged ({reason}")
    assert str(error.value).endswith(f"); restore an intact copy, or create {tmp_path} again")


def test_what_is_whole_is_read_and_what_nobody_knows_stays(tmp_path: Path) -> None:
    path = tmp_path / "sheet.yaml"
    path.write_text("name: no\nshare: 1\nlater: 5\n")
    assert read_stored(path, Sheet) == Sheet(name="no", share=1.0)
    assert validate(Sheet, {"name": "a\udcff"}).name == "a\udcff"  # of a file system that is not UTF-8
    with pytest.raises(RunError, match=r"gone\.json cannot be read \(No such file or directory\)"):
        read_stored(tmp_path / "gone.json", Sheet)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_stored(tmp_path, Sheet, DataError)


def test_a_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"name": "a", "tags": null}\n{"name": "b", "tags": 5}\n')
    with pytest.raises(RunError, match=r"is damaged \(line 2: tags: expected a list, got 5\)"):
        read_rows(path, Line)


@pytest.mark.parametrize("rest", ["", '{"name": "b"', "\udcff"])
def test_a_line_without_its_end_is_cut_off(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(('{"name": "a", "tags": []}\n' + rest).encode("utf-8", "surrogateescape"))
    drop_torn_line(path)
    assert read_rows(path, Line) == [Line("a", [])]
    path.write_text('{"name"')
    drop_torn_line(path)
    assert read_rows(path, Line) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"names": []}, "names: List should have at least 1 item"),
        ({"names": ["a", "a"], "background": None}, "names: a name is repeated"),
        ({"names": ["a"]}, "'background' is missing"),
        ({"names": ["a"], "background": 0}, "background: expected text, got 0"),
    ],
)
def test_classes_are_names(content: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Classes.from_json(content)


def test_a_tag_that_is_no_class_is_damage(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"names": ["a"], "background": null}')
    (tmp_path / "manifest.json").write_text('{"complete": true, "image_tags": {"x": ["a", "b"]}}')
    with pytest.raises(MaskSetError, match=r"is damaged \(image_tags\.x: classes\.json has no class 'b'\)"):
        open_mask_set(tmp_path)
