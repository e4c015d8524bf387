"""The page of a scene of known shape, opened from disk in a real browser without a network."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.io.images import read_rgb, resize_rgb
from lotus_recon.io.meshes import read_mesh, write_ply
from lotus_recon.io.textured_meshes import TexturedMesh, write_textured_glb
from lotus_recon.meshing.stage import gltf_from_views
from lotus_recon.texturing.rendering import ssim
from lotus_recon.types import FloatArray, Mesh
from lotus_recon.viewing import page as page_room
from lotus_recon.viewing.page import viewer_script, write_page
from lotus_recon.viewing.scene import Files, shown_scene
from tests.viewing.browser import Opened, address_of, chromium, opened
from tests.viewing.scenes import CAMERA, HALF_FLOOR, NAMES, RADIUS, sigma_on_floor, write_scene

SHIFT = np.array([431_000.25, 5_411_000.5, 300.0])  # of a georeferenced scene
EVIL = (
    "<img src=x onerror=window.hacked=1>.png",
    "</script><script>window.hacked=2</script>/\"'><b>.png",
    "größe & ☃ 日本.png",
    "\u2028${window.hacked=3}`.png",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def path(files: Files) -> Path:
    out = files.images_dir.parent / "view.html"
    write_page(shown_scene(files), out, report="index.html")
    return out


@pytest.fixture
def page(browser: Any, path: Path) -> Iterator[Opened]:
    with opened(browser, address_of(path)) as shown:
        yield shown
        assert shown.complaints == []


def test_the_script_is_made_of_the_sources_that_are_here() -> None:
    folder = Path(page_room.__file__).parent / "page"
    names = sorted([*folder.glob("*.js"), folder / "package-lock.json"], key=str)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()
    assert f"sources: {digest}" in viewer_script()[:200], "run scripts/bundle_viewer.sh"
    assert "Permission is hereby granted" in viewer_script()[:2000], "the licence of three.js goes with it"


def test_it_draws_and_asks_for_nothing(page: Opened) -> None:
    canvas = page.canvas()
    shown = canvas[canvas[..., 3] > 0]
    assert len(shown) > 0.05 * canvas[..., 3].size
    assert shown[:, :3].std(0).min() > 10, "a scene, not one colour"
    outside = [url for url in page.requests if not re.match(r"(file|data|blob):", url)]
    assert outside == []
    assert sum(url.startswith("file:") for url in page.requests) == 1


def photo_and_render(page: Opened, files: Files, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(H, W, 3) a photo, and the scene through its lens at the same size."""
    left, top, width, height = page.through(index)
    picture = page.canvas()[..., :3]
    frame = picture[round(top) : round(top + height), round(left) : round(left + width)]
    photo = read_rgb(files.images_dir / files.scene.views[index].name)
    return photo, resize_rgb(np.ascontiguousarray(frame), CAMERA.width, CAMERA.height)


@pytest.mark.parametrize("index", [0, 2])
def test_the_mesh_is_where_the_cameras_say(page: Opened, files: Files, index: int) -> None:
    photo, render = photo_and_render(page, files, index)
    everywhere = np.ones(photo.shape[:2], bool)
    assert ssim(photo.mean(-1), render.mean(-1), everywhere) > 0.97
    shifted = np.roll(render, 4, axis=1)
    assert ssim(photo.mean(-1), shifted.mean(-1), everywhere) < 0.92, "a wrong principal point would show"


def test_a_textured_glb_shows_its_picture_the_right_way_up(browser: Any, files: Files, tmp_path: Path) -> None:
    """As the stage texture writes it: a square on the floor, seen from above, each quarter of another colour."""
    picture = np.zeros((64, 64, 3), np.uint8)
    quarters = {(0, 0): (200, 30, 40), (0, 1): (30, 180, 60), (1, 0): (20, 60, 220), (1, 1): (230, 210, 90)}
    for (row, col), color in quarters.items():
        picture[32 * row : 32 * row + 32, 32 * col : 32 * col + 32] = color
    corners = np.array([[-0.7, -0.7, 0], [0.7, -0.7, 0], [0.7, 0.7, 0], [-0.7, 0.7, 0]], np.float32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    write_ply(tmp_path / "mesh.ply", Mesh(corners, triangles, np.full((4, 3), 128, np.uint8), normals))
    square = TexturedMesh(corners, normals, uv, triangles, np.zeros(2, np.int32), (picture,))
    turned = square.turned(gltf_from_views(files.scene.views))
    write_textured_glb(tmp_path / "mesh.glb", turned, "png", unlit=False)
    shown = replace(files, mesh=tmp_path / "mesh.ply", textured=tmp_path / "mesh.glb", cloud=None)
    write_page(shown_scene(shown), tmp_path / "view.html")
    with opened(browser, address_of(tmp_path / "view.html")) as page:
        for (row, col), color in quarters.items():
            x, y = pixel_of(page, files, 0, np.array([0.7 * col - 0.35, 0.35 - 0.7 * row, 0.0]))
            np.testing.assert_allclose(page.canvas()[round(y), round(x), :3].astype(int), color, atol=2)
        assert page.complaints == []


def pixel_of(page: Opened, files: Files, index: int, point: FloatArray) -> tuple[float, float]:
    """Where a world point (3,) is on the canvas, through the lens of a view."""
    left, top, width, _ = page.through(index)
    view = files.scene.views[index]
    x, y = project(transform(view.cam_from_world, point[None]), view.camera)[0] * (width / view.camera.width)
    return left + float(x), top + float(y)


ENDS = np.array([[-0.8, 0.2, -RADIUS], [0.7, 0.9, -RADIUS]])


def measure(page: Opened, files: Files, ends: FloatArray = ENDS) -> None:
    places = [pixel_of(page, files, 1, end) for end in ends]
    page.page.click("#ruler")
    for place in places:
        page.click(*place)


def test_the_ruler_measures(page: Opened, files: Files) -> None:
    measure(page, files)
    length, *_, unit = page.text("measured").split()
    assert float(length) == pytest.approx(np.linalg.norm(ENDS[0] - ENDS[1]), rel=0.01)
    assert unit == "units"


def test_a_length_has_the_error_bar_of_its_ends(page: Opened, files: Files) -> None:
    """Nine times of ten it holds the true length: 1.645 standard deviations of both ends together."""
    measure(page, files)
    length, sign, bar, unit = page.text("measured").split()
    page.wait("() => document.querySelector('.length').textContent === document.getElementById('measured').textContent")
    assert (sign, unit) == ("\u00b1", "units")
    exact = float(page.run("() => window.page.stage.ruler.lastBar"))
    assert exact == pytest.approx(1.645 * float(np.linalg.norm(sigma_on_floor(ENDS))), rel=0.02)
    decimals = len(bar.partition(".")[2])
    assert float(bar) == pytest.approx(exact, abs=0.51 * 10**-decimals)
    assert float(bar) > 0
    assert float(length) == pytest.approx(np.linalg.norm(ENDS[0] - ENDS[1]), rel=0.01)
    assert len(length.partition(".")[2]) == decimals
    assert "nine of ten" in page.text("ruler-box")


def test_a_length_that_ends_where_the_error_is_unknown_has_no_bar(page: Opened, files: Files) -> None:
    """The camera looks at the ball in the middle, of which nothing is known."""
    to_camera = files.scene.views[1].center_in_world
    measure(page, files, np.array([ENDS[0], RADIUS * to_camera / np.linalg.norm(to_camera)]))
    assert len(page.text("measured").split()) == 2
    assert "nine of ten" not in page.text("ruler-box")


def test_a_known_length_gives_the_scale(page: Opened, files: Files) -> None:
    measure(page, files)
    page.page.fill("#known", "1.20")
    assert page.text("measured").startswith("1.20")
    assert page.text("measured").endswith(" m")
    option, names, metres = re.fullmatch(r"(--scale-from) '([^']*)=([^=']*)'", page.text("scale")).groups()  # type: ignore[union-attr]
    a, b = (files.scene.views[files.scene.index[name]].center_in_world for name in names.split(","))
    per_unit = 1.20 / np.linalg.norm(ENDS[0] - ENDS[1])
    assert option == "--scale-from"
    assert float(metres) == pytest.approx(np.linalg.norm(a - b) * per_unit, rel=0.01)


def test_a_click_on_a_camera_shows_its_photo(page: Opened) -> None:
    place = page.run(
        """() => { const { stage } = window.page; stage.draw();
        const [, a, , c] = stage.cameras.corners[2];
        const middle = a.clone().add(c).multiplyScalar(0.5).project(stage.camera);
        const { clientWidth, clientHeight } = stage.canvas;
        return [(middle.x * 0.5 + 0.5) * clientWidth, (0.5 - middle.y * 0.5) * clientHeight]; }"""
    )
    page.click(*place)
    assert page.text("panel-name") == NAMES[2]
    page.wait("() => window.page.stage.photo !== null")
    sources = []
    for name in ("photo", "depth", "normals", "confidence"):
        page.page.click(f"#panel-tabs [data-map={name}]")
        page.wait("() => document.getElementById('panel-image').naturalWidth > 0")
        sources.append(page.run("() => document.getElementById('panel-image').src"))
    assert len(set(sources)) == 4
    page.page.click("#panel-next")
    assert page.text("panel-name") == NAMES[3]
    page.page.keyboard.press("Escape")


def test_layers_show_what_they_say(page: Opened, files: Files) -> None:
    x, y = pixel_of(page, files, 1, ENDS[0])

    def color(layer: str) -> FloatArray:
        page.page.click(f"#layer-{layer}")
        return np.asarray(page.canvas()[round(y), round(x), :3], float)

    assert color("normals") == pytest.approx([127.5, 127.5, 255], abs=3), "the floor faces up, which is z"
    assert color("confidence") == pytest.approx([59, 82, 139], abs=8), "viridis at 0.25"
    assert np.ptp(color("grey")) < 12
    assert color("height")[2] > color("height")[0], "the floor is lowest: blue"
    assert page.text("legend-low").startswith("-0.5")


@pytest.mark.parametrize(("metric", "unit", "factor"), [(False, "units", 1), (True, "cm", 100)])
def test_errors_are_colours_between_numbers_with_a_unit(
    browser: Any, files: Files, tmp_path: Path, metric: bool, unit: str, factor: float
) -> None:
    """On the floor they grow from 0.001 to 0.1 along x, evenly in logarithms; the ball is grey."""
    shown = replace(files, scene=replace(files.scene, metric=metric))
    write_page(shown_scene(shown), tmp_path / "view.html")
    with opened(browser, address_of(tmp_path / "view.html")) as page:
        page.page.click("#layer-error")
        low, high = (float(page.text(f"legend-{end}")) / factor for end in ("low", "high"))
        assert (low, high) == pytest.approx((10**-2.96, 10**-1.04), rel=0.06), "without 2 % at each end"
        assert f"one standard deviation in {unit}, logarithmic" in page.text("legend-name")

        def color(point: FloatArray) -> FloatArray:
            x, y = pixel_of(page, shown, 1, np.asarray(point))
            return np.asarray(page.canvas()[round(y), round(x), :3], float)

        for end in ENDS:
            share = (np.log10(sigma_on_floor(end[None])[0]) + 2.96) / 1.92
            assert color(end) == pytest.approx(plasma(float(share)), abs=8)
        to_camera = files.scene.views[1].center_in_world
        assert np.ptp(color(RADIUS * to_camera / np.linalg.norm(to_camera))) == 0


def plasma(share: float) -> FloatArray:
    """(3,) of the colour map, from 0 to 1."""
    level = np.array([[round(255 * share)]], np.uint8)
    return np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_PLASMA)[0, 0, ::-1], float)


def test_without_errors_there_is_nothing_to_choose(browser: Any, files: Files, tmp_path: Path) -> None:
    assert files.mesh is not None
    write_ply(tmp_path / "mesh.ply", replace(read_mesh(files.mesh), sigma=None))
    write_page(shown_scene(replace(files, mesh=tmp_path / "mesh.ply")), tmp_path / "view.html")
    with opened(browser, address_of(tmp_path / "view.html")) as page:
        assert page.page.is_disabled("#layer-error")
        measure(page, files)
        assert len(page.text("measured").split()) == 2
        assert page.complaints == []


def test_the_clip_box_hides_and_says_its_numbers(page: Opened, files: Files) -> None:
    place = pixel_of(page, files, 1, ENDS[0])
    page.page.click("#clip")
    numbers = [float(part) for part in page.text("clip-text").split(",")]
    assert numbers == pytest.approx([-HALF_FLOOR, -HALF_FLOOR, -RADIUS, HALF_FLOOR, HALF_FLOOR, RADIUS], abs=0.01)
    alpha_before = page.canvas()[round(place[1]), round(place[0]), 3]
    page.run(
        """() => { const low = document.getElementById('clip-x0');
        low.value = 0.5; low.dispatchEvent(new Event('input')); }"""
    )
    assert float(page.text("clip-text").split(",")[0]) == pytest.approx(0, abs=0.02)
    assert (alpha_before, page.canvas()[round(place[1]), round(place[0]), 3]) == (255, 0)
    page.page.click("#ruler")
    page.click(*place)
    page.click(*pixel_of(page, files, 1, ENDS[1]))
    assert page.text("measured").startswith("Click"), "what is hidden cannot be clicked on"


def test_names_of_photos_and_scenes_inject_nothing(browser: Any, tmp_path: Path) -> None:
    files = write_scene(tmp_path, EVIL)
    evil = Files(**{**files.__dict__, "title": EVIL[1], "facts": {EVIL[0]: {"<i>": EVIL[0]}}})
    write_page(shown_scene(evil), tmp_path / "view.html")
    with opened(browser, address_of(tmp_path / "view.html")) as page:
        for index, name in enumerate(EVIL):
            page.run("([index]) => window.page.choose(index)", index)
            assert page.run("() => document.getElementById('panel-name').textContent") == name
        assert page.run("() => window.hacked") is None
        assert page.run("() => document.title") == EVIL[1]
        assert page.page.query_selector("h1 b, #panel-facts i, img[src=x]") is None
        assert page.complaints == []


def test_far_from_the_origin_it_is_as_sharp(browser: Any, tmp_path: Path) -> None:
    far = write_scene(tmp_path, shift=SHIFT)
    write_page(shown_scene(far), tmp_path / "view.html")
    with opened(browser, address_of(tmp_path / "view.html")) as page:
        photo, render = photo_and_render(page, far, 1)
        # The file of the mesh has float32 coordinates: a half metre apart, where the northing is millions.
        assert photo.shape == render.shape
        page.page.click("#clip")
        numbers = [float(part) for part in page.text("clip-text").split(",")]
        assert numbers[:3] == pytest.approx(SHIFT - [HALF_FLOOR, HALF_FLOOR, RADIUS], abs=0.6)


def test_on_a_phone_nothing_sticks_out(browser: Any, path: Path) -> None:
    with opened(browser, address_of(path), 390, 844) as page:
        assert page.run("() => document.documentElement.scrollWidth") == 390
        page.page.click("#menu")
        page.page.click("#layer-height")
        page.page.click("#menu")
        page.page.click(".thumb:nth-child(2)")
        box = page.page.locator("#panel").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        left, top, width, height = page.through(1)
        assert top + height <= box["y"], "the photo is not behind the panel"
        assert left >= 0
        assert width <= 390


def test_a_mesh_that_cannot_be_read_is_an_error(files: Files, tmp_path: Path) -> None:
    (tmp_path / "broken.ply").write_text("ply\n")
    broken = Files(**{**files.__dict__, "mesh": tmp_path / "broken.ply"})
    with pytest.raises(InputError, match="broken.ply"):
        write_page(shown_scene(broken), tmp_path / "view.html")
    assert not (tmp_path / "view.html").exists()
