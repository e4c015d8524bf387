"""The app as tests run it: on any free port, with options that make runs short."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from lotus_recon.config import overlaid
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.recipes.table import multi_view_config

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = sorted((ROOT / "data/sample/images").glob("*.jpg"))
_FAST_SCENE = {
    "sfm": {"max_size": 160, "sfm_max_size": 480},
    "mvs": {"mvs": False},
    "adaptation": {"adapt": "off"},
    "texture": {"texture": False},
    "report": {"report_views": 2},
    "view": {"view_size": 5000},
}


def configs() -> Mapping[str, Mapping[str, Any]]:
    """Options of short runs, as every preset."""
    photo = overlaid(SingleViewConfig(), {"output": {"max_size": 128}}, "test")
    scene = overlaid(multi_view_config()(), _FAST_SCENE, "test")
    return {
        kind: dict.fromkeys(("fast", "default", "fine"), config)
        for kind, config in (("single_view", photo), ("multi_view", scene))
    }


@contextmanager
def running(root: Path, *folders: Path, **options: Any) -> Iterator[Any]:
    """An ``AppServer`` that answers; tests are skipped, saying so, without gradio."""
    pytest.importorskip("gradio", reason="gradio is not installed (extra app)")
    from lotus_recon.app.server import AppServer

    root.mkdir()
    with closing(AppServer(root, folders, configs(), threads=1, **options)) as server:
        server.start()
        yield server


def ask(
    server: Any, path: str, cookie: str = "", method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of a request whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    sent = {"Host": f"127.0.0.1:{server.port}", "Cookie": cookie, "Content-Length": str(len(body or b"")), **headers}
    for name, value in sent.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def cookie_of(server: Any) -> str:
    """The cookie of a new session."""
    return str(ask(server, "/")[1]["set-cookie"]).split(";")[0]


def upload(server: Any, cookie: str, name: str, content: bytes) -> tuple[int, Any]:
    """Send a file as the page does; status, and where it lies or why it was refused."""
    boundary = "0123456789"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Content_Type": f"multipart/form-data; boundary={boundary}"}
    status, _, answer = ask(server, "/gradio_api/upload", cookie, "POST", body, **own)
    return status, json.loads(answer) if status == 200 else answer.decode()


def workers() -> list[psutil.Process]:
    """Processes that this one started and that work for runs, with all that those started."""
    started = psutil.Process().children(recursive=True)
    return [process for process in started if "spawn_main" in " ".join(_command(process))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return [str(word) for word in process.cmdline()]
    except psutil.Error:
        return []


def write_photo(path: Path, width: int = 64, height: int = 48) -> Path:
    """A small photo."""
    Image.effect_noise((width, height), 60).convert("RGB").save(path)
    return path
