"""The app in a real browser: upload, run, download; cancel; two users; files that cannot be used."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.serving import PHOTOS, running, workers, write_photo
from tests.viewing.browser import Opened, chromium

RUN_S = 240.0
EVIL = "\"'<img src=x onerror=window.hacked=1>${window.hacked=2}{{window.hacked=3}}\u202eé"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(tmp_path_factory.mktemp("app") / "root", grace_s=2.0) as app:
        yield app


class User:
    """A browser of its own, in which the app is open."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.page = opened, opened.page

    def tab(self, name: str) -> None:
        """Go to a tab."""
        self.page.click(f"button[role=tab]:has-text('{name}')")

    def drop(self, kind: str, *files: Path | dict[str, Any]) -> None:
        """Upload files in a tab, and wait until the page has them."""
        field = "#photo-file" if kind == "single_view" else "#scene-file"
        given = [str(file) if isinstance(file, Path) else file for file in files]
        self.page.set_input_files(f"{field} input[type=file]", given)
        self.page.wait_for_selector(f"{field} .file-preview", timeout=60_000)

    def start(self, kind: str) -> None:
        """Press the button."""
        self.page.click(f"#{kind}-start")

    def state(self, kind: str, *states: str, seconds: float = RUN_S) -> str:
        """Wait for a state; what the page says then."""
        wanted = ", ".join(f"#{kind}-status [data-state={state}]" for state in states)
        try:
            self.page.wait_for_selector(wanted, timeout=1000 * seconds)
        except Exception as error:
            raise AssertionError(f"not {states}: {self.page.inner_text(f'#{kind}-status')}") from error
        return str(self.page.inner_text(f"#{kind}-status"))

    def done(self, kind: str) -> None:
        """Wait for the end of a run that works."""
        said = self.state(kind, "done", "failed", "refused")
        assert "Done" in said, said

    def downloaded(self, link: str) -> bytes:
        """The file that a link gives."""
        with self.page.expect_download() as begun:
            self.page.click(link)
        return Path(begun.value.path()).read_bytes()

    def frame(self, kind: str) -> Any:
        """The page in 3D inside the page, when it is drawn."""
        element = self.page.wait_for_selector(f"#{kind}-view iframe", timeout=60_000)
        frame = element.content_frame()
        frame.wait_for_selector("body[data-done]", timeout=60_000)
        return frame


@contextmanager
def user(browser: Any, server: Any, width: int = 1200, height: int = 900) -> Iterator[User]:
    """A user that nobody else is; at the end, that the page did not complain, and asked this server only."""
    opened = Opened(browser, width, height, offline=False)
    try:
        opened.page.goto(server.url)
        opened.page.wait_for_selector("#single_view-start", timeout=60_000)
        opened.page.wait_for_selector("#single_view-view .lr-empty", timeout=60_000)
        yield User(opened)
        outside = [url for url in opened.requests if not url.startswith((server.url, "data:", f"blob:{server.url}"))]
        assert (outside, opened.complaints) == ([], [])
    finally:
        opened.context.close()


def spread(frame: Any) -> float:
    """Standard deviation of the grey levels of a page in 3D; 0 where nothing is drawn."""
    address = frame.evaluate("() => { window.page.stage.draw(); return window.page.stage.canvas.toDataURL(); }")
    image = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("L")
    return float(np.asarray(image).std())


def large_file(folder: Path) -> Path:
    """A file of 200 MB with the name of a photo."""
    path = folder / "large.jpg"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    return path


def test_one_photo_goes_in_and_geometry_comes_out(server: Any, browser: Any) -> None:
    with user(browser, server) as someone:
        someone.drop("single_view", PHOTOS[0])
        someone.start("single_view")
        someone.done("single_view")
        frame = someone.frame("single_view")
        assert spread(frame) > 10
        results = someone.page.inner_text("#single_view-results")
        assert "56.8° wide" in results
        assert "EXIF" in results
        camera = json.loads(someone.downloaded("#single_view-results a[href*='camera.json']"))
        assert (camera["width"], camera["height"]) == (128, 96)
        with zipfile.ZipFile(io.BytesIO(someone.downloaded("#single_view-results .lr-all"))) as archive:
            assert {"mesh.glb", "points.ply", "depth_16bit.png"} <= {Path(name).name for name in archive.namelist()}
        sizes = someone.page.evaluate(
            "() => [...document.querySelectorAll('#single_view-results img')].map(image => image.naturalWidth)"
        )
        assert sizes == [128, 128]


@pytest.mark.slow
@pytest.mark.timeout(900)  # the longest: photos to a mesh, beside a browser that draws by software
def test_many_photos_go_in_and_a_scene_comes_out(server: Any, browser: Any) -> None:
    with user(browser, server) as someone:
        someone.tab("Many photos")
        someone.drop("multi_view", *PHOTOS[:6])
        someone.page.fill("#multi_view-name textarea, #multi_view-name input", "A studio")
        someone.start("multi_view")
        said = someone.state("multi_view", "running")
        frame = someone.frame("multi_view")
        someone.page.wait_for_selector("#multi_view-status .lr-stages .lr-past", timeout=1000 * RUN_S)
        said = someone.page.inner_text("#multi_view-status")
        assert "of 10" in said
        assert "left" in said
        someone.done("multi_view")
        end = time.monotonic() + 60
        while not frame.evaluate("() => Boolean(window.page.stage.layers.mesh)"):
            assert time.monotonic() < end, "the live page never showed the mesh"
            time.sleep(0.2)
        assert spread(frame) > 10
        assert "photos were registered" in someone.page.inner_text("#multi_view-results")
        mesh = someone.downloaded("#multi_view-results a[href*='mesh.ply']")
        assert mesh.startswith(b"ply")
        with zipfile.ZipFile(io.BytesIO(someone.downloaded("#multi_view-results .lr-all"))) as archive:
            names = archive.namelist()
        assert {"A_studio/report/view.html", "A_studio/dense.ply", "A_studio/config.yaml"} <= set(names)
        someone.tab("Scenes")
        card = someone.page.wait_for_selector("#library .lr-card:has-text('A studio')", timeout=20_000)
        report = card.query_selector("a:has-text('report')").get_attribute("href")
        assert "A studio" in someone.page.evaluate("([url]) => fetch(url).then(answer => answer.text())", [report])


def test_cancel_leaves_no_process_and_no_file(server: Any, browser: Any) -> None:
    with user(browser, server) as someone:
        someone.tab("Many photos")
        someone.drop("multi_view", *PHOTOS[:6])
        someone.start("multi_view")
        someone.page.wait_for_selector("#multi_view-status b:has-text('sfm')", timeout=60_000)
        assert workers()
        (session,) = [each for each in server.sessions._sessions.values() if each.tabs and each.runs]
        someone.page.click("#multi_view-stop")
        assert "nothing of it was kept" in someone.state("multi_view", "cancelled", seconds=30)
        assert workers() == []
        assert [path for path in session.folder.rglob("*") if path.is_file()] == []
        assert someone.page.is_enabled("#multi_view-start")


@pytest.mark.slow
def test_two_users_do_not_see_each_others_files(server: Any, browser: Any) -> None:
    with user(browser, server) as one, user(browser, server) as other:
        one.drop("single_view", PHOTOS[1])
        one.start("single_view")
        one.done("single_view")
        links = one.page.eval_on_selector_all("#single_view-results a", "found => found.map(each => each.href)")
        links.append(one.page.get_attribute("#single_view-view iframe", "src"))
        links.append(one.page.get_attribute("#photo-file a", "href"))
        assert len(links) > 5
        status = "([url]) => fetch(url).then(answer => answer.status)"
        assert {one.page.evaluate(status, [link]) for link in links} == {200}
        assert {other.page.evaluate(status, [link]) for link in links} == {404}
        other.opened.complaints.clear()  # the browser says that there are 404s
        other.tab("Scenes")
        other.page.wait_for_selector("#library .lr-library")
        assert "Nothing yet" in other.page.inner_text("#library")
        one.tab("Scenes")
        one.page.wait_for_selector(f"#library .lr-card:has-text('{PHOTOS[1].name}')")


@pytest.mark.slow
def test_a_page_that_is_loaded_again_shows_the_run_again(server: Any, browser: Any) -> None:
    with user(browser, server) as someone:
        someone.drop("single_view", PHOTOS[2])
        someone.start("single_view")
        someone.state("single_view", "running", "done")  # a small photo may be done before the browser looks
        someone.page.reload()
        someone.done("single_view")
        someone.frame("single_view")
        someone.opened.complaints.clear()  # gradio says that the reload ended its connection


def test_the_files_of_a_user_go_with_the_last_tab(server: Any, browser: Any) -> None:
    with user(browser, server) as someone:
        someone.drop("single_view", PHOTOS[3])
        (session,) = [each for each in server.sessions._sessions.values() if each.tabs and each.uploads]
        (stored,) = session.uploads
        someone.start("single_view")
        someone.state("single_view", "running")
    end = time.monotonic() + 40
    while session.folder.exists() or stored.exists():
        assert time.monotonic() < end, "its files are still there"
        time.sleep(0.2)
    assert all(run.is_over for run in session.runs.values())  # or was done just before


def _runs(server: Any) -> list[Any]:
    return [run for session in server.sessions._sessions.values() for run in session.runs.values()]


def test_files_that_cannot_be_used_get_a_clear_word(server: Any, browser: Any, tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("Dear diary")
    large = large_file(tmp_path)
    with user(browser, server) as someone:
        someone.start("single_view")
        assert "drop one photo first" in someone.state("single_view", "refused", seconds=20)
        for file, words in (
            (text, "notes.jpg cannot be read as an image"),
            (large, "large.jpg has 200 MB; a photo may have 100 MB"),
        ):
            someone.page.reload()
            someone.page.wait_for_selector("#single_view-view .lr-empty", timeout=60_000)
            someone.drop("single_view", file)
            someone.start("single_view")
            assert words in someone.state("single_view", "refused", seconds=30)
        someone.page.reload()
        someone.page.wait_for_selector("#single_view-view .lr-empty", timeout=60_000)
        someone.page.fill("#photo-fov textarea, #photo-fov input", "wide")
        someone.drop("single_view", write_photo(tmp_path / "a.png"))
        someone.start("single_view")
        someone.page.wait_for_selector("#single_view-status :text('wide')", timeout=20_000)
        someone.opened.complaints.clear()  # gradio says that each reload ended its connection
    assert not any(run.state == "running" for run in _runs(server))


def test_files_beyond_every_limit_are_refused_while_they_come(browser: Any, tmp_path: Path) -> None:
    from lotus_recon.app.uploads import Limits

    large = large_file(tmp_path)
    with running(tmp_path / "root", limits=Limits(photo_mb=5, video_mb=10)) as small:
        opened = Opened(browser, 1200, 900, offline=False)
        opened.page.goto(small.url)
        opened.page.wait_for_selector("#single_view-start", timeout=60_000)
        opened.page.set_input_files("#photo-file input[type=file]", str(large))
        opened.page.wait_for_selector("text=/maximum.* size|too large|exceed/i", timeout=60_000)
        assert not [path for path in (tmp_path / "root/uploads").rglob("*") if path.stat().st_size > 10_000_000]
        opened.context.close()


def test_names_cannot_become_markup(server: Any, browser: Any, tmp_path: Path) -> None:
    with user(browser, server) as someone:
        photo = write_photo(tmp_path / "a.jpg", 640, 480).read_bytes()
        someone.drop("single_view", {"name": f"{EVIL}.jpg", "mimeType": "image/jpeg", "buffer": photo})
        someone.start("single_view")
        someone.state("single_view", "done", "failed")
        someone.tab("Many photos")
        someone.drop("multi_view", *[write_photo(tmp_path / f"{name}.jpg", 320, 240) for name in ("b", "c")])
        someone.page.fill("#multi_view-name textarea, #multi_view-name input", EVIL)
        someone.start("multi_view")
        someone.state("multi_view", "failed")  # noise has nothing in common
        someone.tab("Scenes")
        someone.page.wait_for_selector("#library .lr-library")
        time.sleep(1)
        assert someone.page.evaluate("() => window.hacked") is None
        assert someone.page.query_selector_all("img[src=x]") == []


def test_it_works_on_a_phone(server: Any, browser: Any) -> None:
    with user(browser, server, 390, 844) as someone:
        for name in ("One photo", "Many photos", "Scenes"):
            someone.tab(name)
            time.sleep(0.3)
            assert someone.page.evaluate("() => document.documentElement.scrollWidth") <= 390, name
