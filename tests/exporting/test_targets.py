"""Every target, read back by a reader of its own: a known point lies on its pixel, at its depth."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from plyfile import PlyData

from lotus_recon.exporting import stage
from lotus_recon.exporting.stage import ExportResult
from lotus_recon.exporting.targets import TARGETS
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb
from lotus_recon.io.meshes import read_points
from lotus_recon.types import Scene, SparsePoints, View
from tests.exporting.blender import LIST, in_blender
from tests.exporting.readers import (
    ReadView,
    read_3dgs,
    read_colmap_points,
    read_dn_splatter,
    read_mvsnet,
    read_nerfstudio,
    read_openmvs,
)
from tests.exporting.room import CUT_OUT, EMPTY, MASKED, NAMES, WIDE, Room, make_room

DEPTH = 1e-3  # relative error of the depth of a known point
EXACT, CROPPED = 0.01, 0.3  # pixels off its place; readers that know no principal point have it rounded by the crop


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return make_room(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def exported(room: Room) -> ExportResult:
    out = room.root / "export"
    out.mkdir()
    return stage.run(room.export_scene(), list(TARGETS), out)


def check_known_points(
    room: Room, name: str, view: ReadView, corner: tuple[int, int] = (0, 0), most_px: float = EXACT
) -> None:
    """``corner``: column and row of the photo at which the exported one begins."""
    pixels, world = room.known_points(name)
    xy, z = view.project(world)
    height, width = view.depth.shape
    expected = pixels - corner
    inside = np.all((expected >= 0) & (expected < (width, height)), axis=1)
    assert inside.sum() >= 40
    assert np.abs(xy - (expected + 0.5))[inside].max() < most_px
    depth = view.depth[expected[inside, 1], expected[inside, 0]]
    assert np.abs(depth / z[inside] - 1).max() < DEPTH


def check_photo(room: Room, name: str, path: Path, corner: tuple[int, int] = (0, 0)) -> None:
    truth, found = room.truth[name].rgb, read_rgb(path)
    rows, cols = slice(corner[1], corner[1] + found.shape[0]), slice(corner[0], corner[0] + found.shape[1])
    assert np.abs(truth[rows, cols].astype(int) - found).mean() < 15, "the same photo, but for JPEG; others: 50"


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_says_what_it_is_and_names_the_photos(target: str, room: Room, exported: ExportResult) -> None:
    """The contract of the registry."""
    sidecar = json.loads((exported.folder / target / "README.json").read_text())
    assert sidecar["unit_of_poses"] == "units of the poses"
    assert sidecar["for"]
    assert sidecar["depth"]
    assert set(sidecar["photos"]) == set(NAMES)
    for name, photo in sidecar["photos"].items():
        camera, corner = room.truth[name].camera, (0, 0)
        if target == "3dgs":
            corner = _crop(camera.cx, camera.width), _crop(camera.cy, camera.height)
        check_photo(room, name, exported.folder / target / photo, corner)
    files = [path for path in (exported.folder / target).rglob("*") if path.is_file()]
    assert all(path.name.isascii() and " " not in path.name for path in files)
    assert len({path.name for path in files if path.parent.name == "images"}) == len(NAMES)
    assert not list((exported.folder / target).rglob(".*")), "nothing unfinished is left"


def test_the_report_lists_targets_and_views_without_depth(exported: ExportResult) -> None:
    assert exported.report["targets"] == list(TARGETS)
    assert exported.report["views_without_depth"] == [EMPTY]
    assert ExportResult.load(exported.folder).report == exported.report


def test_photos_that_few_tools_read_become_png(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    photo = room.scene.views[0]
    picture = Image.fromarray(room.truth[photo.name].rgb)
    picture.save(tmp_path / "images" / "scan.tif")
    (tmp_path / "images" / photo.name).unlink()
    for stage_name in ("consistency", "mvs", "prediction"):
        old = tmp_path / stage_name / f"{photo.stem}.npz"
        old.rename(tmp_path / stage_name / "scan.npz")
    views = (replace(photo, name="scan.tif"), *room.scene.views[1:])
    (tmp_path / "export").mkdir()
    scene = replace(room, scene=replace(room.scene, views=views)).export_scene()
    stage.run(scene, ["nerfstudio"], tmp_path / "export")
    with Image.open(tmp_path / "export/nerfstudio/images/scan.png") as written:
        assert written.format == "PNG"
        assert np.array_equal(np.asarray(written), room.truth[photo.name].rgb)


def test_metric_scenes_say_metres(tmp_path: Path) -> None:
    room = make_room(tmp_path, metric=True)
    (tmp_path / "export").mkdir()
    stage.run(room.export_scene(), ["nerfstudio"], tmp_path / "export")
    assert json.loads((tmp_path / "export/nerfstudio/README.json").read_text())["unit_of_poses"] == "metres"
    assert json.loads((tmp_path / "dense.json").read_text())["unit"] == "metres"


def test_colmap_fuses_the_exported_maps_into_the_true_surface(
    room: Room, exported: ExportResult, tmp_path: Path
) -> None:
    """Depth and normals are where COLMAP looks for them: it checks both before it fuses."""
    import pycolmap

    options = pycolmap.StereoFusionOptions()
    options.min_num_pixels = 2
    pycolmap.stereo_fusion(tmp_path / "f.ply", exported.folder / "colmap", output_type="ply", options=options)
    cloud = read_points(tmp_path / "f.ply")
    assert len(cloud.points) > 3000
    assert cloud.normals is not None
    errors, angles = _against_truth(room, cloud.points, cloud.normals)
    assert np.median(errors) < 0.002
    assert np.median(angles) < 3


def _against_truth(
    room: Room, points: NDArray[np.float32], normals: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance (N,) of points from the true surface, and degrees (N,) between their normals and the true ones."""
    import open3d

    mesh = open3d.t.io.read_triangle_mesh(str(room.root / "mesh.ply"))
    rays = open3d.t.geometry.RaycastingScene()
    rays.add_triangles(mesh)
    nearest = rays.compute_closest_points(open3d.core.Tensor.from_numpy(np.ascontiguousarray(points, np.float32)))
    distance = np.linalg.norm(nearest["points"].numpy() - points, axis=1)
    return distance, angle_deg(normals, nearest["primitive_normals"].numpy())


def test_colmap_keeps_tracks_that_bundle_adjustment_leaves_as_they_are(room: Room, exported: ExportResult) -> None:
    import pycolmap

    model = pycolmap.Reconstruction(exported.folder / "colmap/sparse")
    assert min(len(point.track.elements) for point in model.points3D.values()) >= 2
    assert len(model.points3D) == len(room.scene.points.xyz)
    before = model.compute_mean_reprojection_error()
    pycolmap.bundle_adjustment(model)
    assert abs(model.compute_mean_reprojection_error() - before) <= 0.2, "stored errors are 0.1, the true ones 0"
    assert model.compute_mean_reprojection_error() < 0.01


def test_colmap_gets_maps_of_the_views_with_depth_only(exported: ExportResult) -> None:
    stereo = exported.folder / "colmap/stereo"
    fused = (stereo / "fusion.cfg").read_text().split()
    assert len(fused) == len(NAMES) - 1
    assert {path.name for path in (stereo / "depth_maps").iterdir()} == {f"{name}.geometric.bin" for name in fused}
    assert (stereo / "patch-match.cfg").read_text().count("__auto__") == len(NAMES)


def test_nerfstudio(room: Room, exported: ExportResult) -> None:
    folder = exported.folder / "nerfstudio"
    views, flat = read_nerfstudio(folder), exported.report["views"]
    for name in NAMES:
        view = views[flat[name]]
        check_photo(room, name, view.photo)
        if name == EMPTY:
            assert not view.depth.any()
        else:
            check_known_points(room, name, view)
            assert not view.depth[MASKED].any()
    content = json.loads((folder / "transforms.json").read_text())
    assert content["applied_scale"] == 1
    assert np.array_equal(content["applied_transform"], np.eye(4)[:3])
    cloud = read_points(folder / content["ply_file_path"])
    assert cloud.normals is not None
    assert np.median(_against_truth(room, cloud.points, cloud.normals)[0]) < 0.005, "in the frame of the poses"


def test_nerfstudio_gets_masks_of_all_photos_or_of_none(room: Room, exported: ExportResult, tmp_path: Path) -> None:
    """A photo without a mask is used whole, in a scene where others have one; unknown depth is no reason to mask."""
    views, flat = read_nerfstudio(exported.folder / "nerfstudio"), exported.report["views"]
    for name in NAMES:
        expected = np.ones(room.truth[name].depth.shape, bool)
        if name in CUT_OUT:
            expected[CUT_OUT[name]] = False
        used = views[flat[name]].used
        assert used is not None
        assert np.array_equal(used, expected)
    shutil.copytree(room.root / "images", tmp_path / "images", ignore=shutil.ignore_patterns("masks"))
    scene = room.export_scene(images=tmp_path / "images")
    (tmp_path / "export").mkdir()
    stage.run(scene, ["nerfstudio"], tmp_path / "export")
    assert all(view.used is None for view in read_nerfstudio(tmp_path / "export/nerfstudio").values())
    assert not (tmp_path / "export/nerfstudio/masks").exists()


def test_3dgs(room: Room, exported: ExportResult) -> None:
    """Its reader assumes that the principal point is in the middle, and knows no masks."""
    folder = exported.folder / "3dgs"
    views, flat = read_3dgs(folder), exported.report["views"]
    by_stem = {Path(name).stem: view for name, view in views.items()}
    for name in NAMES:
        view, camera = by_stem[Path(flat[name]).stem], room.truth[name].camera
        left, top = _crop(camera.cx, camera.width), _crop(camera.cy, camera.height)
        check_photo(room, name, view.photo, (left, top))
        assert read_rgb(view.photo).shape[:2] == view.depth.shape
        if name == EMPTY:
            assert not view.depth.any(), "the reader leaves it out"
        else:
            check_known_points(room, name, view, (left, top), CROPPED)
            rows, cols = (slice(s.start - c, s.stop - c) for s, c in zip(MASKED, (top, left), strict=True))
            shown = room.truth[name].depth.values[MASKED]
            assert np.abs(view.depth[rows, cols] / shown - 1).max() < DEPTH, "what was contradicted is filled in"
    scene = read_colmap_scene(folder / "sparse/0")
    assert all(abs(view.camera.cx - view.camera.width / 2) <= 0.5 for view in scene.views)
    assert (scene.points.track_length >= 2).all()
    vertex = PlyData.read(folder / "sparse/0/points3D.ply")["vertex"]  # as its fetchPly does
    cloud = read_points(room.root / "dense.ply")
    for names, values in (
        ("xyz", cloud.points),
        (("red", "green", "blue"), cloud.colors),
        (("nx", "ny", "nz"), cloud.normals),
    ):
        assert values is not None
        assert np.array_equal(np.stack([vertex[name] for name in names], axis=1), values)
        assert vertex[names[0]].dtype == values.dtype


def _crop(centre: float, size: int) -> int:
    """Columns or rows that are cut at the start."""
    return round(2 * centre - size) if centre - size / 2 > 0.5 else 0


def test_3dgs_takes_a_pixel_without_depth_for_infinitely_far() -> None:
    from lotus_recon.exporting.targets.gaussian_splatting import coded_inverse_depth

    stored = coded_inverse_depth(np.array([[0.0, 1.0, 2.0, 0.5]], np.float32), nearest=1.0)
    assert stored.tolist() == [[0, 65535, 32768, 65535]]


def test_dn_splatter(room: Room, exported: ExportResult) -> None:
    """It pairs files by rank, so the numbers of the photos must sort alike everywhere."""
    folder = exported.folder / "dn-splatter"
    views, normals = read_dn_splatter(folder)
    for name, (file, view) in zip(sorted(NAMES), sorted(views.items()), strict=True):
        check_photo(room, name, view.photo)
        sparse = np.load(folder / "sfm_depths" / f"{Path(file).stem}.npy")
        truth = room.truth[name]
        seen = sparse > 0
        assert seen.sum() > 30
        assert np.median(np.abs(sparse[seen] / truth.depth.values[seen] - 1)) < 0.01
        if name != EMPTY:
            check_known_points(room, name, view)
        assert np.median(angle_deg(_unit(normals[file]), truth.normals.values)) < 3


def test_dn_splatter_starts_from_the_dense_cloud(room: Room, exported: ExportResult) -> None:
    xyz = read_colmap_points(exported.folder / "dn-splatter/colmap/sparse/0")
    sparse, dense = room.scene.points.xyz, read_points(room.root / "dense.ply").points
    assert len(xyz) == len(sparse) + len(dense)
    assert np.allclose(xyz[: len(sparse)], sparse)
    assert np.allclose(xyz[len(sparse) :], dense)


def test_numbers_sort_alike_as_text_and_as_numbers() -> None:
    from lotus_recon.exporting.targets.dn_splatter import numbered

    views = tuple(View(f"{i}.jpg", WIDE, np.eye(4)) for i in range(12))
    names = [view.name for view in numbered(Scene(views, SparsePoints.empty())).views]
    assert sorted(names) == names


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_mvsnet(room: Room, exported: ExportResult) -> None:
    views, ranges, pairs = read_mvsnet(exported.folder / "mvsnet")
    for i, name in enumerate(sorted(NAMES)):
        check_photo(room, name, views[i].photo)
        with Image.open(views[i].photo) as photo:
            assert photo.format == "JPEG"
        truth = room.truth[name].depth
        if name != EMPTY:
            check_known_points(room, name, views[i])
            assert ranges[i][0] < views[i].depth[views[i].depth > 0].min()
            assert ranges[i][1] > truth.values[truth.valid].max()
            assert pairs[i]
            assert i not in pairs[i]


def test_the_pairs_of_mvsnet_are_neighbours(room: Room, exported: ExportResult) -> None:
    """Along an arc of cameras the best partner is one of the next two."""
    _, _, pairs = read_mvsnet(exported.folder / "mvsnet")
    by_name = {name: i for i, name in enumerate(sorted(NAMES))}
    on_arc = [by_name[name] for name in NAMES[:5]]  # the first photos of the sample go round in order
    for place, i in enumerate(on_arc):
        assert abs(on_arc.index(next(j for j in pairs[i] if j in on_arc)) - place) <= 2


def test_openmvs(room: Room, exported: ExportResult) -> None:
    scene, flat = read_openmvs(exported.folder / "openmvs"), exported.report["views"]
    names = sorted(NAMES)
    assert scene.photos == [f"images/{flat[name]}" for name in names]
    assert set(scene.views) == {i for i, name in enumerate(names) if name != EMPTY}
    for i, view in scene.views.items():
        check_photo(room, names[i], view.photo)
        check_known_points(room, names[i], view)
        known = view.depth > 0
        assert np.median(angle_deg(scene.normals[i][known], room.truth[names[i]].normals.values[known])) < 3
        assert not scene.normals[i][~known].any()
        assert 0.19 < scene.confidence[i][known].min() < scene.confidence[i].max() <= 1
        assert scene.neighbours[i]
    points = room.scene.points
    assert np.allclose(scene.points, points.xyz, atol=1e-5)
    first = sorted(points.obs_view[points.obs_point == 0])
    assert scene.seen_by[0] == first


def test_blender_cameras_put_known_points_on_their_pixels(room: Room, exported: ExportResult) -> None:
    """By Blender's own rule: lens and shift in terms of a sensor that is as wide as the photo."""
    folder = exported.folder / "blender"
    tree = _glb_tree(folder / "scene.glb")
    nodes = {node["name"]: node for node in tree["nodes"] if "camera" in node}
    flat = exported.report["views"]
    for lens in json.loads((folder / "cameras.json").read_text())["cameras"]:
        name = next(original for original, short in flat.items() if short == lens["name"])
        if name == EMPTY:
            continue
        pixels, world = room.known_points(name)
        blender_from_gltf = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
        pose = blender_from_gltf @ np.reshape(nodes[lens["name"]]["matrix"], (4, 4)).T
        in_cam = np.column_stack([world, np.ones(len(world))]) @ np.linalg.inv(pose).T
        width, height = lens["resolution"]
        per_width = lens["lens"] / lens["sensor_width"]
        aspect = lens["pixel_aspect"][1] / lens["pixel_aspect"][0]
        x = width * (0.5 - lens["shift_x"] + per_width * in_cam[:, 0] / -in_cam[:, 2])
        y = height / 2 - width / aspect * (per_width * in_cam[:, 1] / -in_cam[:, 2] - lens["shift_y"])
        assert np.abs(np.stack([x, y], 1) - (pixels + 0.5)).max() < EXACT
        check_photo(room, name, folder / lens["photo"])


def _glb_tree(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree: dict[str, Any] = json.loads(data[20 : 20 + length])
    return tree


def test_blender_opens_the_scene_with_the_true_cameras(room: Room, exported: ExportResult) -> None:
    folder = exported.folder / "blender"
    printed = in_blender(LIST, folder / "open_in_blender.py")
    shown = json.loads(printed.partition("CAMERAS")[2].splitlines()[0])["cameras"]
    flat = exported.report["views"]
    assert set(shown) == set(flat.values())
    for name, short in flat.items():
        camera, pose = room.truth[name].camera, room.truth[name].cam_from_world
        one = shown[short]
        world_from_blender_cam = np.linalg.inv(pose) @ np.diag([1, -1, -1, 1])
        assert np.allclose(one["matrix"], world_from_blender_cam, atol=1e-5)
        assert one["size"] == list(camera.size)
        assert (one["sensor_fit"], one["sensor_width"]) == ("HORIZONTAL", 36)
        assert one["lens"] == pytest.approx(36 * camera.fx / camera.width)
        assert Path(one["photo"]).name == short
        depth = room.truth[name].depth.values
        assert one["clip"][0] < depth.min()
        assert one["clip"][1] > depth.max()
