"""The app as a server of 127.0.0.1."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lotus_recon.app.desk import Desk
from lotus_recon.app.guard import Guard
from lotus_recon.app.library import Library
from lotus_recon.app.runs import Line
from lotus_recon.app.sessions import Sessions
from lotus_recon.app.uploads import Limits
from lotus_recon.viewing.server import ADDRESS

_SWEEP_S = 1.0
_STOP_S = 10.0
# Read by gradio when it is imported: nothing of it asks for anything, or shows files but by this app.
_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ALLOWED_PATHS": "",
    "GRADIO_ROOT_PATH": "",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class AppServer:
    """Serves the app until ``close``. ``port`` 0 is any free one. ``root`` is a folder of its own."""

    def __init__(
        self,
        root: Path,
        folders: Sequence[Path],
        configs: Mapping[str, Mapping[str, Any]],
        limits: Limits | None = None,
        port: int = 0,
        threads: int | None = None,
        grace_s: float = 60.0,
    ) -> None:
        """``configs``: by kind of run and preset. ``folders`` are browsed. Raises OSError for a port in use."""
        limits = limits or Limits()
        self._socket = _bound(port)
        self.port = int(self._socket.getsockname()[1])
        uploads = root / "uploads"
        uploads.mkdir()
        os.environ |= {**_ENVIRONMENT, "GRADIO_TEMP_DIR": str(uploads)}
        self.line = Line(threads)
        self.library = Library(folders)
        self.sessions = Sessions(root, grace_s, self.library.forget)
        desk = Desk(self.line, self.library, configs, limits)
        self._server = _made(self.sessions, uploads, desk, self.port)
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.run, args=([self._socket],), name="server", daemon=True),
            threading.Thread(target=self._sweep, name="sessions", daemon=True),
        ]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.port}/"

    def start(self) -> None:
        """Begin to answer, beside the caller. Returns when the page can be opened."""
        for thread in self._threads:
            thread.start()
        while not self._server.started and self._threads[0].is_alive():
            self._closing.wait(0.02)

    def wait(self) -> None:
        """Until the server ends."""
        while self._threads[0].is_alive():
            self._threads[0].join(0.5)

    def close(self) -> None:
        """End all runs, delete all sessions, and stop answering."""
        self._closing.set()
        self._server.should_exit = True
        self.line.close()
        self.sessions.close_all()
        for thread in self._threads:
            thread.join(_STOP_S)
        self._socket.close()

    def _sweep(self) -> None:
        while not self._closing.wait(_SWEEP_S):
            self.sessions.close_left()


def _bound(port: int) -> socket.socket:
    """A socket that listens to this machine only."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((ADDRESS, port))
    return listening


def _made(sessions: Sessions, uploads: Path, desk: Desk, port: int) -> Any:
    """The server of gradio's page, the results and the guard around both."""
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from lotus_recon.app import parts
    from lotus_recon.app.interface import build, theme
    from lotus_recon.app.routes import result_routes

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard = Guard(app, sessions, uploads, port)
    app.router.routes.extend(result_routes(desk.library, guard.session_of))
    gr.mount_gradio_app(
        app,
        build(desk, guard.session_of),
        path="/",
        server_name=ADDRESS,
        server_port=port,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=f"{desk.limits.file_mb}mb",
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=theme(),
        css=parts.style(),
    )
    config = uvicorn.Config(
        guard,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,  # seconds; the pages hold connections open for as long as they are
    )
    return uvicorn.Server(config)
