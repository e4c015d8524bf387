"""The page over a local server: what it gives, to whom, and how it follows a run."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.io.cameras import write_colmap_scene
from lotus_recon.types import Scene
from lotus_recon.viewing.scene import Files
from lotus_recon.viewing.server import ViewServer
from tests.viewing.browser import chromium, opened
from tests.viewing.scenes import NAMES, write_scene

SECRET = "nobody may read this"


def write_stages(out: Path) -> Files:
    """An output folder whose stages are finished up to the mesh."""
    files = write_scene(out)
    (out / ".owners.json").write_text("{}")
    (out / "config.yaml").write_text(SECRET)
    write_colmap_scene(files.scene, out / "sfm/sparse")
    (out / "sfm/frame.json").write_text(json.dumps({"metric": True, "scale_from": "given poses"}))
    shutil.move(out / "prediction", out / "maps")
    shutil.move(out / "maps", out / "prediction/nano")
    (out / "mesh").mkdir()
    shutil.move(out / "mesh.ply", out / "mesh/mesh.ply")
    for stage in ("sfm", "prediction/nano", "consistency", "mesh"):
        (out / stage / "stage.json").write_text("{}")
    return files


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET)
    folder = tmp_path / "out"
    write_stages(folder)
    return folder


@pytest.fixture
def server(out: Path) -> Iterator[ViewServer]:
    with ViewServer(out, 0, 20_000) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


def ask(server: ViewServer, path: str, host: str | None = None, method: str = "GET") -> tuple[int, bytes]:
    """Status and body of a request whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_page_shows_a_finished_folder(server: ViewServer, browser: Any) -> None:
    with opened(browser, server.url, offline=False) as page:
        canvas = page.canvas()
        assert canvas[canvas[..., 3] > 0][:, :3].std(0).min() > 10
        page.run("() => window.page.choose(1)")
        assert page.text("panel-name") == NAMES[1]
        page.page.click("#panel-tabs [data-map=confidence]")
        page.wait("() => document.getElementById('panel-image').naturalWidth > 0")
        outside = [url for url in page.requests if not url.startswith((server.url, "data:", f"blob:{server.url}"))]
        assert (outside, page.complaints) == ([], [])


def test_it_listens_to_this_machine_only_and_to_its_own_name(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/scene.json")[0] == 200
    assert ask(server, "/scene.json", f"localhost:{server.server_port}")[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{server.server_port}",
        "127.0.0.1",
        f"127.0.0.1:{server.server_port}.evil",
    ):
        status, body = ask(server, "/scene.json", host)
        assert (status, b"views" in body) == (403, False), host


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/images/..%2f..%2fsecret.txt",
        "/images/%2e%2e%2f%2e%2e%2fsecret.txt",
        "//secret.txt",
        "/%2fetc%2fpasswd",
        "/link.txt",
        "/linked/secret.txt",
        "/.owners.json",
        "/images/..%5c..%5csecret.txt",
        "/parts/..%2f..%2fsecret.txt",
        "/secret.txt%00.png",
    ],
)
def test_nothing_outside_the_folder_is_served(server: ViewServer, out: Path, path: str) -> None:
    (out / "link.txt").symlink_to(out.parent / "secret.txt")
    (out / "linked").symlink_to(out.parent)
    status, body = ask(server, path)
    assert (status, SECRET.encode() in body) == (404, False)


def test_files_of_the_folder_are(server: ViewServer, out: Path) -> None:
    assert ask(server, "/images/a.png") == (200, (out / "images/a.png").read_bytes())
    assert ask(server, "/images/a.png", method="HEAD") == (200, b"")
    assert ask(server, "/", method="POST")[0] == 501


def test_a_damaged_file_is_said(server: ViewServer, out: Path) -> None:
    (out / "mesh/mesh.ply").write_text("ply\n")
    status, body = ask(server, "/parts/mesh")
    assert status == 503
    assert b"mesh.ply" in body


def manifest(server: ViewServer) -> Any:
    """What the page would ask for now."""
    return json.loads(ask(server, "/scene.json")[1])


def test_clouds_grow_as_views_are_aligned_and_the_mesh_follows(server: ViewServer, out: Path, browser: Any) -> None:
    work, done = out / ".scratch/alignment/0123456789abcdef", out / "consistency"
    shutil.move(out / "mesh", out.parent / "mesh")
    (out / "dense.ply").unlink()
    work.mkdir(parents=True)
    (done / "stage.json").unlink()
    shutil.move(done, out.parent / "done")
    assert "cloud" not in manifest(server)["layers"]
    shutil.copy(out.parent / "done/a.npz", work)
    before, small = manifest(server), len(ask(server, "/parts/cloud")[1])
    assert before["progress"] == "alignment: running"
    with opened(browser, server.url, offline=False) as page:
        shutil.copy(out.parent / "done/b.npz", work)
        page.wait(f"() => window.page.manifest.parts.cloud !== {json.dumps(before['parts']['cloud'])}")
        assert len(ask(server, "/parts/cloud")[1]) > 1.5 * small
        assert not page.run("() => Boolean(window.page.stage.layers.mesh)")
        shutil.move(out.parent / "mesh", out / "mesh")
        page.wait("() => window.page.stage.layers.mesh?.visible && !window.page.stage.visible.cloud")
        assert page.complaints == []


def test_cameras_appear_as_they_are_registered(server: ViewServer, out: Path) -> None:
    whole = write_scene(out.parent / "again").scene
    shutil.rmtree(out / "sfm")
    assert manifest(server)["views"] == []
    for count in (2, 3):
        snapshot = out / f".scratch/sfm/0123456789abcdef/.temporary-x/snapshots/{count}"
        chosen = whole.points.obs_view < count
        part = whole.points.__class__(
            *(getattr(whole.points, name) for name in ("xyz", "rgb", "error_px")),
            *(getattr(whole.points, name)[chosen] for name in ("obs_point", "obs_view", "obs_xy")),
        )
        write_colmap_scene(Scene(whole.views[:count], part), snapshot)
        old = time.time() - 100 + count
        assert len(manifest(server)["views"]) == count - 1 if count > 2 else True, "half written, for all one knows"
        os.utime(snapshot, (old, old))
        assert len(manifest(server)["views"]) == count
