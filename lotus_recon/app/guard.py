"""What stands between the browser and the app: nobody but this machine's own pages gets an answer.

A page of somebody else, open in the same browser, can send requests to 127.0.0.1, and its name can be made to lead
there (DNS rebinding). So requests must name this server as their host, those that change something must come from its
own page, and everything belongs to a session, which a cookie names that other sites neither read nor send.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from lotus_recon.app.sessions import Session, Sessions
from lotus_recon.viewing.server import HEADERS, own_names

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

API = "/gradio_api"
_HEARTBEAT, _UPLOAD, _FILE, _DATA = f"{API}/heartbeat/", f"{API}/upload", f"{API}/file=", f"{API}/queue/data"
# What gradio offers and the page uses. It offers more: proxies, monitoring, accounts.
_PUBLIC = ("/assets/", "/static/", "/theme.css", "/favicon.ico", "/manifest.json", f"{API}/theme.css")
_OWN = (
    "/config",
    "/results/",
    _HEARTBEAT,
    _UPLOAD,
    f"{API}/upload_progress",
    _FILE,
    _DATA,
    f"{API}/queue/join",
    f"{API}/run/",
    f"{API}/cancel",
    f"{API}/reset",
    f"{API}/startup-events",
    f"{API}/app_id",
    f"{API}/info",
)
_COMMON_POLICY = "frame-ancestors 'self'; object-src 'none'; form-action 'self'"
# The browser itself refuses to ask any other server. Gradio compiles its templates, so it needs eval.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    f"img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; base-uri 'self'; {_COMMON_POLICY}"
)
_RESULT_POLICY = f"default-src 'self' data: blob: 'unsafe-inline'; base-uri 'none'; {_COMMON_POLICY}"


class Guard:
    """Middleware (ASGI) around the whole app."""

    def __init__(self, app: App, sessions: Sessions, uploads: Path, port: int) -> None:
        """``uploads``: the folder into which gradio puts what browsers send."""
        self._app, self._sessions, self._uploads, self._port = app, sessions, uploads.resolve(), port
        self._owners: dict[str, str] = {}  # of the names that gradio gives to tabs: tokens of sessions

    @property
    def cookie(self) -> str:
        """The name of the cookie; browsers do not tell apart the ports of a host."""
        return f"lotus_recon_{self._port}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        # Nothing here talks by web sockets: the connection ends without an answer.

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"]
        if headers.get("host") not in own_names(self._port):
            await _refuse(send, HTTPStatus.FORBIDDEN, "this server answers to 127.0.0.1 only")
        elif scope["method"] not in ("GET", "HEAD") and not self._is_own_page(headers):
            await _refuse(send, HTTPStatus.FORBIDDEN, "only the page of this app may ask for that")
        elif path == "/" or path.startswith(_PUBLIC):
            await self._hand_on(scope, receive, send, self._session(headers), path)
        elif not path.startswith(_OWN):
            await _refuse(send, HTTPStatus.NOT_FOUND, "there is no such thing here")
        elif (session := self._session(headers)) is None:
            await _refuse(send, HTTPStatus.FORBIDDEN, "this session has ended: reload the page")
        elif not self._may(session, path, scope):
            await _refuse(send, HTTPStatus.NOT_FOUND, "there is no such thing in this session")
        else:
            await self._hand_on(scope, receive, send, session, path)

    def _is_own_page(self, headers: dict[str, str]) -> bool:
        return headers.get("origin") in [f"http://{name}" for name in own_names(self._port)]

    def _session(self, headers: dict[str, str]) -> Session | None:
        return self.session_of(headers.get("cookie", ""))

    def session_of(self, cookies: str) -> Session | None:
        """The session that the header Cookie of a request names."""
        found: SimpleCookie = SimpleCookie()
        with contextlib.suppress(CookieError):
            found.load(cookies)
        morsel = found.get(self.cookie)
        return self._sessions.find(morsel.value if morsel else None)

    def _may(self, session: Session, path: str, scope: Message) -> bool:
        """Whether a file, or the events of a tab, are those of a session."""
        if path.startswith(_FILE):
            return Path(path.removeprefix(_FILE)) in session.uploads
        tab = path.removeprefix(_HEARTBEAT) if path.startswith(_HEARTBEAT) else ""
        if path.startswith(_DATA):
            tab = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        return not tab or self._owners.setdefault(tab, session.token) == session.token

    async def _hand_on(self, scope: Message, receive: Receive, send: Send, session: Session | None, path: str) -> None:
        extra: list[tuple[bytes, bytes]] = []
        if path == "/" and session is None:
            session = self._sessions.new()
            value = f"{self.cookie}={session.token}; Path=/; HttpOnly; SameSite=Lax"
            extra.append((b"set-cookie", value.encode()))
        policy = _RESULT_POLICY if path.startswith("/results/") else _POLICY
        send = _with_headers(send, policy, extra)
        if path == _UPLOAD and session is not None:
            await self._upload(scope, receive, send, session)
        elif path.startswith(_HEARTBEAT) and session is not None:
            with self._sessions.open_tab(session):
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _upload(self, scope: Message, receive: Receive, send: Send, session: Session) -> None:
        """Let gradio take files, and note whose they are before it says where they lie."""
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                if start.get("status") == HTTPStatus.OK:
                    session.uploads |= self._paths_in(body)
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, collect)

    def _paths_in(self, body: bytes) -> set[Path]:
        try:
            paths = [Path(str(path)) for path in json.loads(body)]
        except (ValueError, TypeError):
            return set()
        return {path for path in paths if path.resolve().is_relative_to(self._uploads)}


def _with_headers(send: Send, policy: str, extra: list[tuple[bytes, bytes]]) -> Send:
    """``send`` with the headers of every answer."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", [])}
            wanted = {**HEADERS, "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
            added = [(name.lower().encode(), value.encode()) for name, value in wanted.items()]
            kept = [(name, value) for name, value in added if name not in there]
            message = {**message, "headers": [*message.get("headers", []), *kept, *extra]}
        await send(message)

    return with_headers


async def _refuse(send: Send, status: HTTPStatus, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": f"{words}\n".encode()})
