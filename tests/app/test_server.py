"""Who gets an answer of the app, and of which files."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.app.runs import Run
from lotus_recon.runners.jobs import SceneJob
from tests.app.serving import ask, configs, cookie_of, running, upload

SECRET = b"nobody may read this"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished results, beside something secret."""
    folder = tmp_path_factory.mktemp("shared") / "out"
    (folder / "room").mkdir(parents=True)
    (folder.parent / "secret.txt").write_bytes(SECRET)
    (folder / ".owners.json").write_text("{}")
    (folder / "room/camera.json").write_text('{"fov_deg": [60.0, 45.0]}')
    (folder / "room/view.html").write_text("<p>the page</p>")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to(folder.parent)
    return folder


@pytest.fixture(scope="module")
def server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(tmp_path_factory.mktemp("app") / "root", shared) as app:
        yield app


def result_of(server: Any, cookie: str, files: Path) -> str:
    """The key of a finished run of a session, whose results are a copy of ``files``."""
    session = server.sessions.find(cookie.split("=", 1)[1])
    folder = session.new_folder() / "results"
    shutil.copytree(files, folder, symlinks=True)
    job = SceneJob("photo", "single_view", configs()["single_view"]["fast"], images=("photo.jpg",))
    run = Run(job, folder, "photo.jpg", folder.parent / "given", state="done")
    run.ended.set()
    key = secrets.token_hex(8)
    session.runs[key] = run
    return key


def test_it_answers_its_own_names_only(server: Any) -> None:
    assert server._socket.getsockname()[0] == "127.0.0.1"
    assert ask(server, "/", Host=f"localhost:{server.port}")[0] == 200
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", f"127.0.0.1:{server.port}.evil", ""):
        for path in ("/", "/config", "/gradio_api/upload", "/results/x/all.zip"):
            status, headers, body = ask(server, path, Host=host)
            assert (status, b"gradio" in body, headers["set-cookie"]) == (403, False, None), (host, path)


def test_pages_of_others_can_start_nothing(server: Any) -> None:
    cookie = cookie_of(server)
    for origin in ("http://evil.example", f"http://evil.example:{server.port}", "null", ""):
        for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/predict"):
            sent = {"Origin": origin} if origin else {}
            assert ask(server, path, cookie, "POST", b"{}", Content_Type="text/plain", **sent)[0] == 403


def test_without_a_session_there_is_nothing(server: Any) -> None:
    key = result_of(server, cookie_of(server), server_files(server))
    for path in ("/config", f"/results/{key}/all.zip", f"/results/{key}/files/room/camera.json", "/gradio_api/upload"):
        for cookie in ("", f"lotus_recon_{server.port}=", f"lotus_recon_{server.port}=guessed"):
            assert ask(server, path, cookie)[0] == 403, (path, cookie)


def server_files(server: Any) -> Path:
    """The shared folder of the app."""
    folders: list[Path] = server.library.folders
    return folders[0]


def test_what_gradio_offers_and_the_page_does_not_use_is_closed(server: Any) -> None:
    cookie = cookie_of(server)
    for path in (
        "/gradio_api/proxy=https://huggingface.co/",
        "/monitoring",
        "/login",
        "/gradio_api/runs",
        "/gradio_api/run-history/buckets",
        "/gradio_api/deep_link",
        "/gradio_api/openapi.json",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/vibe-code/",
        "/docs",
    ):
        assert ask(server, path, cookie)[0] == 404, path


def test_a_session_gets_its_own_files_and_no_others(server: Any, shared: Path) -> None:
    mine, other = cookie_of(server), cookie_of(server)
    assert mine != other
    key = result_of(server, mine, shared)
    for path in ("all.zip", "files/room/camera.json", "page/"):
        assert ask(server, f"/results/{key}/{path}", mine)[0] == 200, path
        assert ask(server, f"/results/{key}/{path}", other)[0] == 404, path
    status, stored = upload(server, mine, "photo.jpg", SECRET)
    assert status == 200
    assert ask(server, f"/gradio_api/file={stored[0]}", mine)[2] == SECRET
    assert ask(server, f"/gradio_api/file={stored[0]}", other)[0] == 404


def test_the_events_of_a_tab_belong_to_the_session_that_opened_it(server: Any) -> None:
    mine, other = cookie_of(server), cookie_of(server)
    guard = server._server.config.app
    scope = {"query_string": b"session_hash=abcdef"}
    path = "/gradio_api/queue/data"
    session = {cookie: server.sessions.find(cookie.split("=", 1)[1]) for cookie in (mine, other)}
    assert guard._may(session[mine], path, scope)
    assert ask(server, f"{path}?session_hash=abcdef", other)[0] == 404
    assert ask(server, "/gradio_api/heartbeat/abcdef", other)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "room/..%2f..%2fsecret.txt",
        "room/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/../secret.txt",
        "link.txt",
        "linked/secret.txt",
        ".owners.json",
        "room/..%5c..%5csecret.txt",
        "secret.txt%00.png",
    ],
)
def test_nothing_outside_the_folder_of_a_result_is_served(server: Any, shared: Path, path: str) -> None:
    cookie = cookie_of(server)
    key = result_of(server, cookie, shared)
    for what in ("files", "page"):
        status, _, body = ask(server, f"/results/{key}/{what}/{path}", cookie)
        assert (status, SECRET in body) == (404, False)


def test_gradio_gives_no_file_but_those_of_the_session(server: Any, shared: Path, tmp_path: Path) -> None:
    cookie = cookie_of(server)
    _, stored = upload(server, cookie, "photo.jpg", b"mine")
    (Path(stored[0]).parent.parent / "secret.txt").write_bytes(SECRET)
    for path in (
        str(shared.parent / "secret.txt"),
        "/etc/passwd",
        f"{stored[0]}/../../secret.txt",
        f"{Path(stored[0]).parent}/%2e%2e/secret.txt",
        "http://127.0.0.1/",
    ):
        status, _, body = ask(server, f"/gradio_api/file={path}", cookie)
        assert (status, SECRET in body) == (404, False), path


def test_a_name_cannot_lead_an_upload_elsewhere(server: Any) -> None:
    cookie = cookie_of(server)
    status, stored = upload(server, cookie, "../../../evil.jpg", b"photo")
    root = server.sessions.root / "uploads"
    assert status != 200 or Path(stored[0]).resolve().is_relative_to(root)
    assert not list(server.sessions.root.parent.glob("evil*"))


def test_the_archive_holds_what_is_visible_and_nothing_else(server: Any, shared: Path) -> None:
    cookie = cookie_of(server)
    key = result_of(server, cookie, shared)
    status, headers, body = ask(server, f"/results/{key}/all.zip", cookie)
    assert (status, headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert sorted(archive.namelist()) == ["photo.jpg/room/camera.json", "photo.jpg/room/view.html"]
        assert json.loads(archive.read("photo.jpg/room/camera.json")) == {"fov_deg": [60.0, 45.0]}


def test_browsers_are_told_to_ask_nobody_else(server: Any, shared: Path) -> None:
    cookie = cookie_of(server)
    key = result_of(server, cookie, shared)
    for path in ("/", "/config", f"/results/{key}/files/room/view.html"):
        headers = ask(server, path, cookie)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "frame-ancestors 'self'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    set_cookie = ask(server, "/")[1]["set-cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie


def test_shared_folders_are_listed_and_served_to_all(server: Any, shared: Path) -> None:
    (place,) = server.library.named()
    assert place.folder == shared
    status, _, body = ask(server, f"/results/{place.key}/files/room/view.html", cookie_of(server))
    assert (status, body) == (200, b"<p>the page</p>")
