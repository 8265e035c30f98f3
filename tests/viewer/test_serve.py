"""The command: address, token, Ctrl-C, and memory."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from command import call
from tag2mask.errors import SettingsError
from tag2mask.viewer.cache import Cache
from tag2mask.viewer.serve import listening, require_token
from tag2mask.viewer.session import Session


def start(path: Path, *words: str) -> tuple[subprocess.Popen[str], re.Match[str]]:
    """Start the viewer; the process, and its address with port and token."""
    command = [sys.executable, "-m", "tag2mask", "view", str(path), "--no-open", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stderr is not None
    for line in process.stderr:
        found = re.match(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line)
        if found:
            return process, found
    raise AssertionError(process.wait())


def get(port: int, address: str, cookie: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", address, headers={"cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("set-cookie") or ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_serves_until_it_is_stopped(painted: Path, number: int, code: int) -> None:
    process, found = start(painted)
    port, token = int(found[1]), found[2]
    assert len(token) >= 32
    try:
        status, cookie = get(port, f"/?token={token}")
        assert status == 303
        assert get(port, "/api/about")[0] == 403
        assert get(port, "/api/about", cookie.partition(";")[0])[0] == 200
    finally:
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in out + err
    assert not list(painted.parent.rglob(".tag2mask-*"))


def test_others_on_the_network_need_a_token(
    painted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--token", "short"]):
        assert call(monkeypatch, "view", painted, *words) == 2
        assert "--token" in capsys.readouterr().err
    require_token("0.0.0.0", "a secret of my own")
    assert "nothing is encrypted" in capsys.readouterr().err
    require_token("127.0.0.1", None)
    assert capsys.readouterr().err == ""


def test_answers_do_not_wait_for_more_to_send() -> None:
    """With Nagle's algorithm, the client's delayed acknowledgement would cost 40 ms per answer."""

    async def delay_is_off() -> bool:
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(bool(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        with listening("127.0.0.1", 0) as bound:
            bound.listen()
            async with await asyncio.start_server(answer, sock=bound):
                await asyncio.open_connection(*bound.getsockname())
                return await asyncio.wait_for(found, 10)

    assert asyncio.run(delay_is_off())


def test_a_port_in_use_is_one_line() -> None:
    with listening("127.0.0.1", 0) as bound:
        bound.listen()
        with pytest.raises(SettingsError, match="leave out --port"), listening("127.0.0.1", bound.getsockname()[1]):
            pass


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tag2mask.viewer.serve.NEEDED", ("no_such_library",))
    assert call(monkeypatch, "view", "masks") == 2
    assert "pip install 'tag2mask[view]'" in capsys.readouterr().err


def test_a_cache_keeps_to_its_limit() -> None:
    cache: Cache[bytes] = Cache(100, len)
    for number in range(1000):
        assert cache.get(number % 37, lambda: b"x" * 30) == b"x" * 30
        assert cache.bytes <= 100
        assert sum(map(len, cache.held.values())) == cache.bytes
    assert cache.get("large", lambda: b"x" * 1000) == b"x" * 1000
    assert "large" not in cache
    assert 999 % 37 in cache


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_browsing_does_not_grow_memory(client: TestClient, session: Session) -> None:
    """Caches stay within their limits, and a second round of all addresses needs no more memory than the first."""
    session.queue.close()
    for cache in (session.held.labels, session.held.pictures, session.held.maps, session.held.features):
        cache.limit = 20_000
        cache.held.clear()
        cache.bytes = 0
    addresses = [
        "thumb/{}",
        "thumb-mask/{}",
        "image/{}",
        "mask/{}",
        "maps/{}?tags=all",
        "superpixels/{}",
        "mask/{}?which=truth",
    ]

    def browse(rounds: int) -> int:
        for _ in range(rounds):
            for number in range(8):
                for address in addresses:
                    assert client.get(f"/api/{address.format(number)}").status_code == 200
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = browse(3)
    assert browse(12) - before < 2**24
    for cache in (session.held.labels, session.held.pictures, session.held.maps, session.held.features):
        assert cache.bytes <= 20_000


def test_any_token_can_be_in_the_address(painted: Path) -> None:
    process, found = start(painted, "--token", "a+b&c#d%e")
    try:
        assert "?token=a%2Bb%26c%23d%25e" in found.string
    finally:
        process.terminate()
        process.wait()
