"""Acceptance of the page in 3D: its size, its first frame, where the mesh is, lengths, and many cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb, resize_rgb
from lotus_recon.io.meshes import read_mesh
from lotus_recon.meshing.ray_casting import hit_distances
from lotus_recon.texturing.rendering import ssim
from lotus_recon.types import Mesh, Scene
from lotus_recon.viewing.page import write_page
from lotus_recon.viewing.scene import shown_scene
from tests.acceptance.command import multi_view
from tests.acceptance.rows import Row
from tests.viewing.browser import Opened, address_of, chromium, opened
from tests.viewing.scenes import write_scene

_LENGTHS = (((120, 330), (520, 400)), ((60, 60), (60, 250)), ((330, 250), (330, 330)))  # pixels of a photo, pairs
_FACES_PER_SIDE = 225  # of floor and ball: 2 x 2 x 224^2 triangles, 200,704
_FRAMES = 30
_PAIRS, _WITHIN = 400, 0.9


def view_rows(sample: Path, work: Path) -> list[Row]:
    """The page of the sample, at its true poses; and 1,000 cameras with 200,000 triangles."""
    poses = ["--poses", str(sample / "truth/transforms.json"), "--pose-unit", "m"]
    seconds = multi_view(sample / "images", work / "out", *poses)
    page = work / "out/report/view.html"
    scene, truth = read_colmap_scene(work / "out/sfm/sparse"), read_mesh(sample / "truth/mesh.ply")
    megabytes = page.stat().st_size / 1e6
    rows = [Row("view, sample", "size of view.html", f"{megabytes:.1f} MB", "<= 15 MB", megabytes <= 15, seconds)]
    rows.append(_error_bars(scene, truth, read_mesh(work / "out/mesh/mesh.ply")))
    with chromium() as browser:
        with opened(browser, address_of(page), 1280, 800) as shown:
            rows += _sample_rows(shown, scene, truth, work / "out/images")
        rows.append(_many_cameras(browser, work / "many"))
    return rows


def _sample_rows(page: Opened, scene: Scene, truth: Mesh, images: Path) -> list[Row]:
    first = float(page.run("() => window.page.firstFrame")) / 1000
    similar = float(np.median([_similarity(page, scene, index, images) for index in range(len(scene.views))]))
    worst = max(_length_error(page, scene, truth, pair) for pair in _LENGTHS)
    return [
        Row("view, sample", "first frame, software rendering", f"{first:.1f} s", "<= 3 s", first <= 3),
        Row(
            "view, sample", "render at a frustum to its photo, SSIM, median", f"{similar:.3f}", ">= 0.6", similar >= 0.6
        ),
        Row("view, sample", "ruler, worst of three lengths", f"{worst:.2%}", "<= 1 %", worst <= 0.01),
        Row("view, sample", "errors in the console", str(len(page.complaints)), "0", not page.complaints),
    ]


def _similarity(page: Opened, scene: Scene, index: int, images: Path) -> float:
    view = scene.views[index]
    left, top, width, height = page.through(index)
    frame = page.canvas()[round(top) : round(top + height), round(left) : round(left + width), :3]
    photo = resize_rgb(read_rgb(images / view.name), frame.shape[1], frame.shape[0])
    return ssim(photo.mean(-1), frame.mean(-1), np.ones(photo.shape[:2], bool))


def _length_error(page: Opened, scene: Scene, truth: Mesh, pair: tuple[tuple[int, int], tuple[int, int]]) -> float:
    """Of the distance of two places that pixels of a photo show, measured by clicks, to that on the true surface."""
    view = scene.views[len(scene.views) // 2]
    left, top, width, _ = page.through(scene.index[view.name])
    scale = width / view.camera.width
    directions = rays_in_cam(view.camera)[[y for _, y in pair], [x for x, _ in pair]] @ view.cam_from_world[:3, :3]
    center = invert_rigid(view.cam_from_world)[:3, 3]
    ends = center + directions * hit_distances(truth, np.tile(center, (2, 1)), directions)[:, None]
    if page.run("() => !window.page.isRuling"):
        page.page.click("#ruler")
    for x, y in pair:
        page.click(left + (x + 0.5) * scale, top + (y + 0.5) * scale)
    measured = float(page.run("() => window.page.stage.ruler.last"))
    return abs(measured / float(np.linalg.norm(ends[0] - ends[1])) - 1)


def _error_bars(scene: Scene, truth: Mesh, mesh: Mesh) -> Row:
    """How many lengths between random places that a photo shows are within the bar of the ruler of the true ones."""
    generator = np.random.default_rng(0)
    assert mesh.sigma is not None
    vertices, off, bars = KDTree(mesh.vertices), [], []
    for view in (scene.views[index] for index in generator.integers(0, len(scene.views), _PAIRS)):
        rows, columns = generator.integers(0, view.camera.height, 2), generator.integers(0, view.camera.width, 2)
        directions = rays_in_cam(view.camera)[rows, columns] @ view.cam_from_world[:3, :3]
        centers = np.tile(view.center_in_world, (2, 1))
        made, real = (centers + directions * hit_distances(one, centers, directions)[:, None] for one in (mesh, truth))
        if np.isfinite(made).all() and np.isfinite(real).all():
            bars.append(P90_SIGMAS * np.linalg.norm(mesh.sigma[vertices.query(made)[1]]))
            off.append(abs(np.linalg.norm(made[0] - made[1]) - np.linalg.norm(real[0] - real[1])))
    known = np.isfinite(bars)
    within = float(np.mean((np.array(off) <= bars)[known]))
    figure = f"lengths within their error bar, of {known.sum()} (typically {np.median(np.array(bars)[known]):.3f} m)"
    return Row("view, sample", figure, f"{within:.0%}", f">= {_WITHIN:.0%}", within >= _WITHIN)


def _many_cameras(browser: Any, work: Path) -> Row:
    files = write_scene(work, [f"{number:04d}.png" for number in range(1000)], cells=_FACES_PER_SIDE)
    write_page(shown_scene(files), work / "view.html")
    with opened(browser, address_of(work / "view.html"), 1280, 800) as page:
        # Pixels are read after each frame, so that all of it is drawn.
        milliseconds = float(
            page.run(
                """([count]) => { const { stage } = window.page; const gl = stage.renderer.getContext();
                const pixel = new Uint8Array(4); const start = performance.now();
                for (let i = 0; i < count; i++) { stage.camera.position.x += 1e-4; stage.draw();
                gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); }
                return (performance.now() - start) / count; }""",
                _FRAMES,
            )
        )
    rate = 1000 / milliseconds
    figure = "1,000 cameras, 200,704 triangles, 1280x800, software rendering"
    return Row("view", figure, f"{rate:.1f} frames/s", ">= 10", rate >= 10)
