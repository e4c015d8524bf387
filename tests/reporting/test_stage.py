"""The report of a small made-up run: all figures are in the file and on the page, all images exist."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.io.maps import save_maps, save_prediction
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.io.textured_meshes import TexturedMesh, write_textured_glb
from lotus_recon.meshing.stage import gltf_from_views
from lotus_recon.reporting import stage
from lotus_recon.reporting.config import AdvancedReport, ReportConfig
from lotus_recon.reporting.legends import of_depth
from lotus_recon.types import (
    Camera,
    DepthKind,
    DepthMap,
    Mesh,
    NormalMap,
    Prediction,
    Scene,
    SparsePoints,
    View,
)

CAMERA = Camera(32, 24, 30.0, 30.0, 16.0, 12.0)
NAMES = ("a b/größe & <1>.jpg", "b.png", "c.jpg", "d.jpg")
CONFIG = ReportConfig(report_views=3, advanced=AdvancedReport(picture_width=24, render_width=40))


def fill(root: Path, view: View) -> None:
    """What the stages before the report write of one view."""
    photo = root / "images" / view.name
    photo.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(photo)
    values = np.tile(np.linspace(1, 2, 32, dtype=np.float32), (24, 1))
    valid = np.ones((24, 32), bool)
    normals = NormalMap(np.tile(np.array([0, 0, -1], np.float32), (24, 32, 1)), valid)
    raw = Prediction(
        DepthMap((1 / values).astype(np.float32), valid, DepthKind.AFFINE_DISPARITY),
        normals,
        {"note": "made up <here>"},
    )
    save_prediction(root / "prediction" / f"{view.stem}.npz", raw)
    aligned = DepthMap(values, valid, DepthKind.SCENE)
    save_prediction(root / "alignment" / f"{view.stem}.npz", Prediction(aligned, None))
    save_maps(root / "consistency" / f"{view.stem}.npz", aligned, confidence=values - 1)
    SceneMaps(root / "uncertainty").save(view, sigma=np.where(values < 1.5, 0.1 / P90_SIGMAS, 0))


@pytest.fixture
def inputs(tmp_path: Path) -> stage.Inputs:
    views = tuple(View(name, CAMERA, np.eye(4)) for name in NAMES[:3])
    for view in views:
        fill(tmp_path, view)
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]], np.float32)
    mesh = Mesh(vertices, np.array([[0, 2, 1], [0, 3, 2]], np.int32), np.full((4, 3), 70, np.uint8))
    write_ply(tmp_path / "mesh.ply", mesh)
    return stage.Inputs(
        scene=Scene(views, SparsePoints.empty()),
        images_dir=tmp_path / "images",
        uncertainty_dir=tmp_path / "uncertainty",
        photos=NAMES,
        prediction_dir=tmp_path / "prediction",
        alignment_dir=tmp_path / "alignment",
        consistency_dir=tmp_path / "consistency",
        mesh=tmp_path / "mesh.ply",
        stages={
            "sfm": {"seconds": 61.5, "peak_memory_mb": 512.25, "warnings": ["loose <settings>"], "run_id": "x"},
            "fusion": {"seconds": 2.0, "peak_memory_mb": 1024.5, "warnings": []},
        },
        figures={
            "alignment": {
                "median_error": 0.01234,
                "views": {name: {"scale": 1.5, "inliers": 77} for name in NAMES[:3]},
            },
            "fusion": {"triangles": 1234567, "cut": {"far": {"share": 0.25}}},
        },
        links={"mesh": "../fusion/my mesh.ply"},
        title="A <scene>",
    )


class Links(HTMLParser):
    """Collects the addresses of a page, and checks that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.images += [unquote(values["src"] or "")] if "src" in values else []
        self.addresses += [unquote(values["href"] or "")] if "href" in values else []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_file_holds_every_figure(inputs: stage.Inputs, tmp_path: Path) -> None:
    out = tmp_path / "report"
    content = stage.run(inputs, CONFIG, out).content
    assert content["stages"] == [
        {"stage": "sfm", "seconds": 61.5, "peak_memory_mb": 512.25},
        {"stage": "fusion", "seconds": 2.0, "peak_memory_mb": 1024.5},
    ]
    assert content["total"] == {"seconds": 63.5, "peak_memory_mb": 1024.5}
    assert content["photos"] == {"given": 4, "registered": sorted(NAMES[:3]), "not_registered": ["d.jpg"]}
    assert content["warnings"] == [{"stage": "sfm", "warning": "loose <settings>"}]
    assert content["notes"] == ["made up <here>"]
    assert content["figures"]["alignment"]["views"]["b.png"]["inliers"] == 77
    assert content["versions"]["numpy"] == np.__version__
    assert content["aligned_near_far"] == pytest.approx([1, 2], abs=0.05)
    assert str(tmp_path) not in (out / stage.REPORT_FILE).read_text()
    assert stage.ReportResult.load(out).content == content


def test_every_picture_exists_and_shows_its_view(inputs: stage.Inputs, tmp_path: Path) -> None:
    out = tmp_path / "report"
    content = stage.run(inputs, CONFIG, out).content
    assert [row["view"] for row in content["views"]] == list(NAMES[:3])
    for row in content["views"]:
        assert list(row["images"]) == ["input", "depth", "normals", "aligned depth", "confidence", "error bars"]
        assert {Image.open(out / name).size for name in row["images"].values()} == {(24, 18)}
    pixel = Image.open(out / content["views"][0]["images"]["normals"]).getpixel((9, 9))
    assert pixel == pytest.approx((128, 128, 255), abs=6)
    bars = Image.open(out / content["views"][0]["images"]["error bars"])
    share = np.log(0.1 / 0.001) / np.log(0.3 / 0.001)
    turbo = cv2.applyColorMap(np.full((1, 1), round(255 * share), np.uint8), cv2.COLORMAP_TURBO)[0, 0, ::-1]
    assert bars.getpixel((4, 9)) == pytest.approx(tuple(turbo.tolist()), abs=12), "bars of 10 %"
    assert bars.getpixel((20, 9)) == pytest.approx((48, 48, 48), abs=12), "no depth"
    assert len(content["renders"]) == 3
    for row in content["renders"]:
        assert set(row["images"]) == {"color", "shaded"}
        assert {Image.open(out / name).size for name in row["images"].values()} == {(40, 30)}
    center = np.asarray(Image.open(out / content["renders"][0]["images"]["color"]))[15, 20]
    assert center == pytest.approx([70, 70, 70], abs=4)


def test_a_textured_mesh_is_shown_in_place_of_vertex_colours(inputs: stage.Inputs, tmp_path: Path) -> None:
    """It has y up in its file, and the cameras of the scene y down."""
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]], np.float32)
    page = np.zeros((16, 16, 3), np.uint8)
    page[:8, :, 0], page[8:, :, 1] = 220, 220  # red above, green below
    uv, normals = np.float32(0.5) * (vertices[:, :2] + np.float32(1)), np.tile(np.array([0, 0, -1], np.float32), (4, 1))
    triangles = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    mesh = TexturedMesh(vertices, normals, uv, triangles, np.zeros(2, np.int32), (page,))
    upright = mesh.turned(gltf_from_views(inputs.scene.views))
    assert upright.vertices[0, 1] > 0, "the upper corners"
    write_textured_glb(tmp_path / "mesh.glb", upright, "png", unlit=False)
    out = tmp_path / "report"
    content = stage.run(replace(inputs, textured_mesh=tmp_path / "mesh.glb"), CONFIG, out).content
    row = content["renders"][0]
    assert list(row["images"]) == ["texture", "shaded"]
    picture = np.asarray(Image.open(out / row["images"]["texture"])).astype(int)
    assert (picture[8:13, 15:25, 0] > 180).all(), "red above"
    assert (picture[18:22, 15:25, 1] > 180).all(), "green below"
    assert "the textured mesh" in (out / "index.html").read_text()
    (tmp_path / "mesh.glb").write_bytes((tmp_path / "mesh.glb").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"mesh.glb cannot be read as a textured mesh .*: not a whole GLB file"):
        stage.run(replace(inputs, textured_mesh=tmp_path / "mesh.glb"), CONFIG, out)


def test_stereo_is_shown_beside_the_aligned_depth_and_without(inputs: stage.Inputs, tmp_path: Path) -> None:
    depth = DepthMap(np.full((24, 32), 1.5, np.float32), np.ones((24, 32), bool), DepthKind.SCENE)
    for view in inputs.scene.views[:2]:
        save_maps(tmp_path / "mvs" / f"{view.stem}.npz", depth, confidence=np.full((24, 32), 0.5))
    (tmp_path / "alignment" / f"{inputs.scene.views[1].stem}.npz").unlink()
    rows = stage.run(replace(inputs, mvs_dir=tmp_path / "mvs"), CONFIG, tmp_path / "report").content["views"]
    labels = [list(row["images"]) for row in rows]
    common = ["input", "depth", "normals"]
    assert labels[0] == [
        *common,
        "aligned depth",
        "stereo depth",
        "change",
        "photo agreement",
        "confidence",
        "error bars",
    ]
    assert labels[1] == [*common, "stereo depth", "photo agreement", "confidence", "error bars"]
    assert labels[2] == [*common, "aligned depth", "confidence", "error bars"]
    names = [name for row in rows for name in row["images"].values()]
    assert all(re.fullmatch(r"images/view_0[123]_[a-z_]+\.jpg", name) for name in names)


def test_every_image_of_a_map_says_what_its_colours_mean(inputs: stage.Inputs, tmp_path: Path) -> None:
    """Depth 1 to 2 in each row of an image; stereo is 1.5 everywhere, so it changes by up to a half."""
    depth = DepthMap(np.full((24, 32), 1.5, np.float32), np.ones((24, 32), bool), DepthKind.SCENE)
    save_maps(tmp_path / "mvs" / f"{inputs.scene.views[0].stem}.npz", depth, confidence=np.full((24, 32), 0.5))
    scored = replace(inputs, mvs_dir=tmp_path / "mvs", scored_points=np.ones(len(inputs.scene.points.xyz), bool))
    result = stage.run(scored, CONFIG, tmp_path / "report")
    legends = result.content["views"][0]["legends"]
    assert [label for label, legend in legends.items() if not legend] == ["input"]
    scale = "red 1 (near) to dark blue 2 (far), units of the scene"
    assert legends["aligned depth"] == legends["stereo depth"] == scale
    assert re.search(r"red (\d\d\.\d%) nearer, white no change, blue \1 farther", legends["change"])
    assert "green 0%, yellow 1.5%, red 3.0% or more" in legends["error at points"]
    page = result.page.read_text(encoding="utf-8")
    assert all(legend in page for legend in legends.values())
    assert page.count("vertex colours") == page.count("grey, lit from the camera") == 3


def test_the_legend_of_disparity_has_its_largest_value_near() -> None:
    assert of_depth(DepthKind.AFFINE_DISPARITY, (0.1, 0.9)).startswith("red 0.9 (near) to dark blue 0.1 (far), no unit")
    assert of_depth(DepthKind.METRIC, (0.1, 0.9)) == "red 0.1 (near) to dark blue 0.9 (far), metres"


def test_the_page_is_whole_and_shows_what_the_file_holds(inputs: stage.Inputs, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = stage.run(inputs, CONFIG, out)
    html = result.page.read_text(encoding="utf-8")
    links = Links()
    links.feed(html)
    assert links.open == []
    assert len(links.images) == 3 * 6 + 3 * 2
    assert all((out / image).is_file() for image in links.images)
    assert "../fusion/my mesh.ply" in links.addresses
    for text in ("A &lt;scene&gt;", "loose &lt;settings&gt;", "größe &amp; &lt;1&gt;.jpg", "made up &lt;here&gt;"):
        assert text in html
    assert re.search(r"<b>1</b><span class=\"soft\">warning</span>", html)
    for text in ("3 / 4", "61.5", "1,234,567", "0.01234", "1,024 MB", "Not registered: d.jpg", "63.5 s"):
        assert text in html
    assert not re.search(r"<script|https?://", html)


def test_views_are_spread_evenly_and_those_with_maps_come_first(inputs: stage.Inputs, tmp_path: Path) -> None:
    few = stage.run(
        inputs, replace(CONFIG, report_views=2, advanced=replace(CONFIG.advanced, render_width=0)), tmp_path / "few"
    ).content
    assert [row["view"] for row in few["views"]] == [NAMES[0], NAMES[2]]
    assert few["renders"] == []
    for folder in ("prediction", "alignment"):
        (tmp_path / folder / "c.npz").unlink()
    left = stage.run(
        inputs, replace(CONFIG, advanced=replace(CONFIG.advanced, render_width=0)), tmp_path / "left"
    ).content
    assert [row["view"] for row in left["views"]] == list(NAMES[:2])
    none = stage.run(
        inputs, replace(CONFIG, report_views=0, advanced=replace(CONFIG.advanced, render_width=0)), tmp_path / "none"
    ).content
    assert none["views"] == []


def test_a_run_that_ended_early_has_a_report_too(inputs: stage.Inputs, tmp_path: Path) -> None:
    early = stage.Inputs(inputs.scene, inputs.images_dir, inputs.photos)
    content = stage.run(early, CONFIG, tmp_path / "report").content
    assert [list(row["images"]) for row in content["views"]] == [["input"]] * 3
    assert content["renders"] == []
    assert content["aligned_near_far"] is None
    assert "none" in (tmp_path / "report" / stage.PAGE_FILE).read_text()


def test_the_same_run_gives_the_same_report(inputs: stage.Inputs, tmp_path: Path) -> None:
    for name in ("one", "two"):
        stage.run(inputs, CONFIG, tmp_path / name)
    one, two = (sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in ("one", "two"))
    assert len(one) == 2 + 18 + 6
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_a_missing_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.json"):
        stage.ReportResult.load(tmp_path)
