"""The command line: options in, one call, a table or JSON out. No logic here; only the verbs import torch."""

from __future__ import annotations

import errno
import io
import sys

import click

from tag2mask.cli.verbs import app
from tag2mask.errors import Tag2MaskError
from tag2mask.training.interrupt import Terminated, stopped_by_signals

__all__ = ["app", "main", "reconfigure_streams"]

AGAIN = "run the same command again to continue (train, segment, refine-train: with --resume if the folder exists)"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run a verb. A user error is one line on stderr and exit code 2; Ctrl-C gives 130, SIGTERM 143."""
    reconfigure_streams()
    code = 0
    try:
        with stopped_by_signals():
            code = app.main(standalone_mode=False) or 0
    except Tag2MaskError as error:
        fail(f"error: {' '.join(str(error).split())}", 2)
    except click.ClickException as error:
        fail(f"error: {error.format_message()}", 2)
    except UnicodeEncodeError as error:  # of a file system that is not UTF-8
        fail(f"error: the name {error.object!a} is not valid UTF-8 and cannot be written; rename the file or class", 2)
    except OSError as error:  # a full disk, or a folder that cannot be created or written to
        fail(f"error: {of_system(error)}", 2)
    except (KeyboardInterrupt, click.Abort):  # click turns the first into the second
        fail(f"interrupted: finished work is saved; {AGAIN}", 130)
    except Terminated:
        fail(f"terminated: finished work is saved; {AGAIN}", 143)
    sys.exit(code)


def of_system(error: OSError) -> str:
    """Describe what the system refused, where, and what to do."""
    what = error.strerror or str(error)
    if error.errno in FULL:
        place = "" if error.filename is None else f"{error.filename} cannot be written: "
        return f"{place}{what}; free some space, then {AGAIN}"
    place = "" if error.filename is None else f"{error.filename} cannot be created or opened: "
    return f"{place}{what}; if it is in --out, choose another --out"


def reconfigure_streams() -> None:
    """Print characters that the terminal cannot encode by their number: file names can contain anything."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def fail(line: str, code: int) -> None:
    """Print one line to stderr and exit."""
    print(line, file=sys.stderr)
    sys.exit(code)
