"""What every request must pass: the right Host, the token, the right origin; and the headers of every answer."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
SAFE = ("GET", "HEAD")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
WILDCARDS = ("0.0.0.0", "::", "")


class Guard:
    """Answers 403 to requests without the token, for another Host, or sent by a page of another origin."""

    def __init__(self, app: ASGIApp, host: str, port: int, token: str) -> None:
        self.app = app
        self.host, self.port, self.token = host, port, token
        self.cookie = f"tag2mask-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self.check(HTTPConnection(scope))
        await (answer or self.app)(scope, receive, send_safely)

    def check(self, request: HTTPConnection) -> Response | None:
        """Return the answer to a request that may not pass, or that brings the token; None lets it pass."""
        if not self.is_own_host(request.headers.get("host", "")):
            return refused("this address is not the viewer's; open the address that tag2mask view printed")
        if not self.is_own_origin(request):
            return refused("the request comes from another page")
        query = parse_qs(request.scope["query_string"].decode("latin-1"))
        method = request.scope["method"]
        if request.url.path == "/" and method in SAFE and self.is_token("".join(query.get("token", []))):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return answer
        if not self.is_token(request.cookies.get(self.cookie, "")):
            return refused("the token is missing or wrong; open the address that tag2mask view printed")
        return None

    def is_token(self, given: str) -> bool:
        """Compare with the token in constant time."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def is_own_host(self, given: str) -> bool:
        """Whether a Host header names this server: a page of another site that resolves to it has another."""
        name, colon, port = given.rpartition(":")
        if not colon or port != str(self.port):
            return False
        name = name.strip("[]").lower()
        if name in LOOPBACK or name == self.host.lower():
            return True
        if self.host not in WILDCARDS:
            return False
        return is_address(name) or name in (socket.gethostname().lower(), socket.getfqdn().lower())

    def is_own_origin(self, request: HTTPConnection) -> bool:
        """Whether a request was sent by our own page, as far as the browser says so."""
        if request.headers.get("sec-fetch-site", "none") == "cross-site" and request.url.path != "/":
            return False
        origin = request.headers.get("origin")
        if origin is None or request.scope["method"] in SAFE:
            return True
        return origin == f"http://{request.headers['host']}"


def is_address(name: str) -> bool:
    """Whether a host name is an IP address, which no name server can redirect."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def refused(reason: str) -> Response:
    """Answer 403."""
    return JSONResponse({"error": reason}, 403)
