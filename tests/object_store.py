"""A local S3 server, and what it holds."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tag2mask.data import stores

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "bucket"


@contextmanager
def s3_server(patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a server with an empty bucket; yields fsspec's file system."""
    s3fs = pytest.importorskip("s3fs", reason="the extra cloud is not installed")
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in {
        **KEYS,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        patch.setenv(key, value)
    patch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget(s3fs)
    try:
        ask(f"http://{host}:{port}/moto-api/reset")  # all servers of a process share what they hold
        store = stores.connect("s3")
        store.mkdir(BUCKET)
        yield store
    finally:
        forget(s3fs)
        server.stop()


def forget(s3fs: Any) -> None:
    """Drop all connections."""
    s3fs.S3FileSystem.clear_instance_cache()
    stores.opened.cache_clear()


def ask(address: str, content: bytes = b"") -> None:
    """Send a request to the server itself."""
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(address, content, headers)).close()


def upload(store: Any, folder: Path, place: str) -> None:
    """Copy a folder into the store."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(str(path), f"{place}/{path.relative_to(folder).as_posix()}")
