"""Reading ahead and writing behind keep the order, and lose neither errors nor work."""

import threading
from collections.abc import Iterator

import pytest

from tag2mask.beside import AHEAD, BEHIND, read_ahead, write_behind


def test_items_come_in_order_and_are_made_early() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            made.append(number)
            yield number

    reader = read_ahead(items())
    assert next(reader) == 0
    assert list(reader) == list(range(1, 9))
    assert made == list(range(9))
    assert list(read_ahead(iter([]))) == []


def test_an_error_of_the_reader_comes_in_its_turn_and_leaving_stops_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    reader = read_ahead(items())
    assert next(reader) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(reader)
    made: list[int] = []
    endless = read_ahead(made.append(1) or n for n in iter(int, 1))  # type: ignore[func-returns-value]
    next(endless)
    endless.close()
    assert len(made) <= 2 + AHEAD
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]


def test_calls_are_made_in_order_and_are_done_in_the_end() -> None:
    done: list[int] = []
    with write_behind() as later:
        for number in range(2 * BEHIND):
            later(done.append, number)
    assert done == list(range(2 * BEHIND))


def test_an_error_of_the_writer_is_raised_and_what_came_before_it_is_written() -> None:
    done: list[int] = []

    def write(number: int) -> None:
        if number == 2:
            raise OSError("no room")
        done.append(number)

    def write_all() -> None:
        with write_behind() as later:
            for number in range(4):
                later(write, number)

    def stop_in_between() -> None:
        with write_behind() as later:
            later(done.append, 9)
            raise KeyboardInterrupt

    with pytest.raises(OSError, match="no room"):
        write_all()
    assert done == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        stop_in_between()
    assert done[-1] == 9
