"""Views of object stores: what is fetched, when, and what is refused."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from object_store import BUCKET, ask, forget, s3_server
from tag2mask.data import Sample, remote, stores
from tag2mask.data.remote import fetch, fetch_all, require_local, show
from tag2mask.data.stores import bring, cache_folder, with_images
from tag2mask.errors import DataError, RemoteError, SettingsError, Tag2MaskError
from tag2mask.prediction.images import found_samples
from tag2mask.urls import place_name


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(stores.PLACE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_server(monkeypatch) as store:
        yield store


@pytest.fixture
def memory() -> Iterator[Any]:
    fsspec = pytest.importorskip("fsspec", reason="the extra cloud is not installed")
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def url(store: Any, key: str) -> str:
    return f"{'s3' if 's3' in store.protocol else 'memory'}://{key}"


def files(folder: Path) -> dict[str, bytes | None]:
    """What is in a view; None for what was not fetched."""
    found = sorted(path for path in folder.rglob("*") if path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.exists() else None for path in found}


def test_a_folder_is_fetched_but_for_its_images(store: Any) -> None:
    for name in ("labels.csv", "images/a.png", "images/b/c.jpg"):
        store.pipe_file(f"{BUCKET}/data/{name}", name.encode())
    store.pipe_file(f"{BUCKET}/database/other", b"of another folder")
    view = fetch(url(store, f"{BUCKET}/data"))
    assert files(view) == {"images/a.png": None, "images/b/c.jpg": None, "labels.csv": b"labels.csv"}
    assert place_name(view) == url(store, f"{BUCKET}/data")
    bring(view / "images/a.png")
    assert files(view)["images/a.png"] == b"images/a.png"
    assert None not in files(fetch_all(Path(url(store, f"{BUCKET}/data/")))).values()  # a Path drops a slash
    assert fetch(url(store, f"{BUCKET}/data/labels.csv")).read_bytes() == b"labels.csv"


def test_what_changed_in_the_store_is_fetched_again_and_nothing_else(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("same", "changed", "deleted"):
        store.pipe_file(f"{BUCKET}/run/{name}", b"old")
    place = url(store, f"{BUCKET}/run")
    fetch(place)
    time.sleep(0.01)
    store.pipe_file(f"{BUCKET}/run/changed", b"new")
    store.rm_file(f"{BUCKET}/run/deleted")
    asked, get = [], store.get_file

    def get_file(key: str, local: str) -> None:
        asked.append(key.rpartition("/")[2])
        get(key, local)

    monkeypatch.setattr(store, "get_file", get_file)
    assert files(fetch(place)) == {"changed": b"new", "same": b"old"}
    assert asked == ["changed"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["../evil"], r"memory://bucket/data: the name '\.\./evil' points outside"),
        (["a/../../evil"], "points outside"),
        (["a", "a//"], "two objects have this name|is both an object"),
        (["b/c", "b//c"], "memory://bucket/data/b/c: two objects have this name"),
        (["a", "a/b"], "is both an object and a folder"),
        (["a\0b"], "is not a file name"),
    ],
)
def test_names_from_a_listing_lead_nowhere(
    keys: list[str], message: str, memory: Any, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    listing = {f"/{BUCKET}/data/{key}": {"size": 1, "type": "file", "created": 0} for key in keys}
    monkeypatch.setattr(type(memory), "find", lambda *_, **__: listing)
    if keys == ["a", "a//"]:  # the marker of a folder is no object
        assert list(files(show(f"memory://{BUCKET}/data"))) == ["a"]
        return
    with pytest.raises((DataError, RemoteError), match=message):
        fetch(f"memory://{BUCKET}/data")
    assert not cache.exists()


def test_a_url_above_the_store_is_refused(memory: Any) -> None:
    with pytest.raises(DataError, match="points outside"):
        fetch("memory://bucket/../../evil")


def test_an_interrupted_download_leaves_nothing(memory: Any, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    memory.pipe_file(f"{BUCKET}/run/config.yaml", b"content")
    whole = type(memory).get_file

    def cut_off(self: Any, key: str, local: str) -> None:
        Path(local).write_bytes(b"con")

    def lost(self: Any, key: str, local: str) -> None:
        Path(local).write_bytes(b"con")
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    for broken, message in (
        (cut_off, "the download was cut off; run again"),
        (lost, "reset by peer; check the connect"),
    ):
        monkeypatch.setattr(type(memory), "get_file", broken)
        with pytest.raises(RemoteError, match=f"memory://{BUCKET}/run/config.yaml: .*{message}"):
            fetch(f"memory://{BUCKET}/run")
        assert not [path for path in cache.rglob("*") if path.is_file()]
    monkeypatch.setattr(type(memory), "get_file", whole)
    assert files(fetch(f"memory://{BUCKET}/run")) == {"config.yaml": b"content"}


def test_images_are_fetched_ahead_and_the_oldest_deleted(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 5 * stores.AHEAD
    for number in range(count):
        memory.pipe_file(f"{BUCKET}/images/{number:03}.png", bytes(1000))
    view = fetch(f"memory://{BUCKET}/images")
    monkeypatch.setenv(stores.SIZE, "0.0001")  # a hundred images
    most = 0
    for number, sample in enumerate(with_images([Sample(path.stem, path) for path in sorted(view.iterdir())])):
        assert sample.name == f"{number:03}"
        assert sample.image.stat().st_size == 1000
        most = max(most, len(list((cache_folder() / stores.IMAGES).glob("[!.]*"))))
    assert number == count - 1
    assert stores.AHEAD < most <= 100 + 2 * stores.AHEAD


def test_single_images_are_fetched_when_they_are_read(memory: Any) -> None:
    memory.pipe_file(f"{BUCKET}/images/a.png", b"a")
    (sample,) = found_samples([fetch(f"memory://{BUCKET}/images/a.png")])
    assert (sample.name, sample.image.exists()) == ("a", False)
    assert [one.image.read_bytes() for one in with_images([sample])] == [b"a"]


def test_a_size_that_is_no_number_is_one_line(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file(f"{BUCKET}/images/a.png", b"a")
    view = fetch(f"memory://{BUCKET}/images")
    monkeypatch.setenv(stores.SIZE, "ten")
    with pytest.raises(SettingsError, match="TAG2MASK_CACHE_GB=ten: expected a number of gigabytes"):
        list(with_images([Sample("a", view / "a.png")]))


def test_what_is_no_url_stays_a_path(tmp_path: Path) -> None:
    for place in (tmp_path, "file://" + str(tmp_path), Path("file://" + str(tmp_path))):
        assert {reach(place) for reach in (fetch, fetch_all, show, require_local)} == {tmp_path}
    assert fetch("a:b/c") == Path("a:b/c")


@pytest.mark.parametrize("reach", [fetch, fetch_all, show, require_local])
def test_other_urls_are_refused(reach: Any) -> None:
    with pytest.raises(SettingsError, match=r"https://x\.org/a: URLs may begin with s3://, gs:// or file://"):
        reach("https://x.org/a")


def test_urls_where_only_paths_go_are_one_line() -> None:
    with pytest.raises(SettingsError, match="s3://bucket/run: only a local path is possible here"):
        require_local("s3://bucket/run")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    stores.opened.cache_clear()
    monkeypatch.setattr(stores, "import_module", missing)
    with pytest.raises(SettingsError, match=r"s3:// needs the package s3fs: pip install 'tag2mask\[cloud\]'"):
        fetch("s3://bucket/run")
    with pytest.raises(SettingsError, match=r"gs:// needs the package gcsfs: pip install 'tag2mask\[cloud\]' 'gcsfs'"):
        fetch("gs://bucket/run")


def test_what_a_store_refuses_is_one_line(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(place: str) -> str:
        with pytest.raises(Tag2MaskError) as caught:
            fetch(place)
        assert isinstance(caught.value, RemoteError)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert said("s3://bucket/none") == "s3://bucket/none: there is nothing; check the spelling"
    assert said("s3://no-bucket/x").startswith(
        "s3://no-bucket/x: not found (The specified bucket does not exist); check"
    )
    settings = f"{s3.s3.meta.endpoint_url}/moto-api/reset-auth"
    ask(settings, b"0")  # from now on, it knows nobody
    try:
        assert said("s3://bucket/run").startswith("s3://bucket/run: access denied (The AWS Access Key Id you provided")
    finally:
        ask(settings, b"inf")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    forget(sys.modules["s3fs"])
    assert (
        said("s3://bucket/run")
        == "s3://bucket/run: Unable to locate credentials; check your credentials, then run again"
    )


def test_an_unreachable_store_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(monkeypatch):
        pass
    with pytest.raises(RemoteError, match=r"s3://bucket/x: Could not connect .*; check the connection, then run again"):
        fetch("s3://bucket/x")


def test_a_listing_is_always_new(store: Any) -> None:
    place = url(store, f"{BUCKET}/shards")
    assert not remote.show(place).exists()
    store.pipe_file(f"{BUCKET}/shards/a.tar", b"a")
    assert files(show(place)) == {"a.tar": None}
