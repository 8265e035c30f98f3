"""``tag2mask view``: open, print the address, and serve until Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tag2mask.errors import SettingsError
from tag2mask.shown import PlainResult

LOOPBACK = "127.0.0.1"
NEEDED = ("starlette", "uvicorn", "skimage")


def view(
    path: Path,
    data: Path | None = None,
    compare: Path | None = None,
    corrections: Path | None = None,
    who: str | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    token: str | None = None,
    no_open: bool = False,
) -> PlainResult:
    """Serve the masks of ``path`` until Ctrl-C, and return where the corrections are.

    Raises:
        SettingsError: the extra is missing, the port is taken, or ``host`` is reachable from outside without ``token``.
        Tag2MaskError: ``path`` or another folder cannot be opened.
    """
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise SettingsError(f"view needs {name}: pip install 'tag2mask[view]'")
    require_token(host, token)
    from tag2mask.viewer.app import build_app
    from tag2mask.viewer.opening import opened_session

    token = token or secrets.token_urlsafe(24)
    with listening(host, port) as bound, opened_session(path, data, compare, corrections, who) as session:
        number = bound.getsockname()[1]
        app = build_app(session, host, number, token)
        address = f"http://{shown_host(host)}:{number}/?token={quote(token, safe='')}"
        bound.listen()  # a browser that is faster than the server waits
        say(f"{address}\nCtrl-C stops the viewer; corrections are saved in {session.corrections.path}")
        if not no_open and has_display():
            webbrowser.open(address)
        serve(app, bound)
    changed = len(session.corrections.rows)
    return PlainResult(
        {"corrections": str(session.corrections.path), "images": changed},
        [f"{session.corrections.path}: {changed} of {len(session.items)} images looked at"],
    )


def serve(app: object, bound: socket.socket) -> None:
    """Run the server on a socket until Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=2**16,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])


def has_display() -> bool:
    """Whether there is a screen; without one, Python would start a browser for the terminal, which would block it."""
    return not sys.platform.startswith("linux") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def require_token(host: str, token: str | None) -> None:
    """Check that a server that others can reach has a token that the user chose, and say what it means.

    Raises:
        SettingsError: it has none, or a short one.
    """
    if is_loopback(host):
        return
    if token is None or len(token) < 12:
        raise SettingsError(
            f"--host {host} lets others on the network see the images and change corrections: choose a secret of at "
            "least 12 characters with --token"
        )
    say(
        f"--host {host}: everyone who can reach this machine and knows the token can see the images and change "
        "corrections; nothing is encrypted, so use it only in a network that you trust, or through an SSH tunnel"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    return host in ("localhost", "::1") or host.startswith("127.")


def shown_host(host: str) -> str:
    """Return the host for an address to open on this machine."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a listening socket; port 0 takes a free one.

    Raises:
        SettingsError: the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm, which delays every answer by 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"--host {host} --port {port} cannot be used ({error.strerror or error}); leave out --port for "
                "a free one"
            ) from None
        yield bound


def say(line: str) -> None:
    """Print a line at once."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
