"""Maps in the files of other programs: a tilted plane, coded as each of them codes it, has to come back as itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.images import Photo, write_png
from lotus_recon.io.maps import save_prediction
from lotus_recon.models.precomputed import (
    MissingPredictionError,
    PrecomputedModel,
    check_predictions,
    check_whose,
    load_for_photo,
)
from lotus_recon.models.stored_maps import Meaning, metres_per_unit
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, NormalMap, Prediction
from tests.models.toys import photo

OpenEXR = pytest.importorskip("OpenEXR")

CAMERA = Camera.from_fov_deg(60.0, 64, 48)
NORMAL = np.array([0.4, -0.25, -1.0]) / np.linalg.norm([0.4, -0.25, -1.0])  # OpenCV axes: no sign can be exchanged
DEPTH = (-2.0 / (rays_in_cam(CAMERA) @ NORMAL)).astype(np.float32)  # (48, 64) metres, about 1.7 to 2.9
IN_OPENGL = NORMAL * [1, -1, -1]  # y up, z to the camera
IN_LOTUS = -NORMAL  # x left, y up, z to the camera


def _everywhere(vector: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.broadcast_to(vector, (*DEPTH.shape, 3)).astype(np.float32)


def _exr(path: Path, channels: dict[str, NDArray[np.float32]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, channels) as file:
        file.write(str(path))


def _npy(path: Path, values: FloatArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def _moge(root: Path) -> None:
    """depth.exr has one channel, Y, infinite where the mask is black; normal.png has the axes of OpenGL."""
    depth = DEPTH.copy()
    depth[:8] = np.inf
    _exr(root / "in/a/depth.exr", {"Y": depth})
    write_png(root / "in/a/mask.png", np.where(np.isfinite(depth), 255, 0).astype(np.uint8))
    write_png(root / "in/a/normal.png", ((_everywhere(IN_OPENGL) / 2 + 0.5) * 255).astype(np.uint8))
    (root / "in/a/fov.json").write_text('{"fov_x": 60.0, "fov_y": 46.83}')


def _marigold(root: Path) -> None:
    """Depth in [0, 1] as npy and 16-bit PNG; normals are (3, H, W) and not quite of unit length."""
    share = (DEPTH - DEPTH.min()) / np.ptp(DEPTH)
    _npy(root / "depth_npy/a_depth.npy", share)
    _npy(root / "normals_npy/a_normals.npy", np.moveaxis(0.98 * _everywhere(IN_OPENGL), -1, 0))


def _lotus(root: Path) -> None:
    """Disparity as the mean of three channels, normals as (n + 1) / 2, pictures of both beside them."""
    share = (1 / DEPTH - (1 / DEPTH).min()) / np.ptp(1 / DEPTH)
    _npy(root / "depth/a.npy", share)
    _npy(root / "normal/a.npy", (_everywhere(IN_LOTUS) + 1) / 2)
    write_png(root / "depth_vis/a.png", np.zeros((48, 64, 3), np.uint8))


def _depth_anything_2(root: Path) -> None:
    _npy(root / "a_raw_depth_meter.npy", DEPTH)
    write_png(root / "a.png", np.zeros((48, 64, 3), np.uint8))


def _depth_anything_3(root: Path) -> None:
    """Maps of all photos in one file, smaller than they are, with sides that are multiples of 14."""
    small = cv2.resize(DEPTH, (56, 42), interpolation=cv2.INTER_LINEAR)
    path = root / "exports/mini_npz/results.npz"
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, depth=np.stack([9 * small, 2 * small]), conf=np.ones((2, 42, 56), np.float32))
    (root / "names.txt").write_text("b.jpg\nin/a.png\n")


def _millimetres(root: Path) -> None:
    write_png(root / "in/a.png", np.rint(DEPTH * 1000).astype(np.uint16))
    write_png(root / "in/a_normals.png", np.rint((_everywhere(NORMAL) / 2 + 0.5) * 65535).astype(np.uint16))


def _npz_with_normals(root: Path) -> None:
    (root / "in").mkdir()
    np.savez(root / "in/a.npz", depth=DEPTH, normals=np.zeros((*DEPTH.shape, 3), np.float32))


def _plain_npz(root: Path) -> None:
    (root / "in").mkdir()
    np.savez(root / "in/a.npz", depth=DEPTH[None] / 5)


def _plain_exr(root: Path) -> None:
    _exr(root / "depth/in/a.exr", dict.fromkeys("RGB", DEPTH))
    _exr(root / "normals/in/a.exr", dict(zip("XYZ", np.moveaxis(_everywhere(NORMAL), -1, 0).copy(), strict=True)))


def _sidecar(root: Path) -> None:
    """What --maps png16 writes."""
    write_png(root / "in/a/depth.png", np.rint((DEPTH - 1) * 10_000).astype(np.uint16))
    said = {"kind": "METRIC", "depth": "value * scale + offset", "scale": 1e-4, "offset": 1.0, "invalid": 0}
    (root / "in/a/maps.json").write_text(json.dumps({"depth.png": said}))


def _single_view(root: Path) -> None:
    """A photo of single_view: maps of half its size, and others of the same photo beside them."""
    half = DepthMap(DEPTH[::2, ::2], np.ones((24, 32), bool), DepthKind.SCALE_FREE)
    save_prediction(root / "in/a/prediction.npz", Prediction(half, None, {"model": "nano"}))
    wrong = DepthMap(np.ones((24, 32), np.float32), np.ones((24, 32), bool), DepthKind.SCALE_FREE)
    save_prediction(root / "in/a/calibrated.npz", Prediction(wrong, None, {}))


# Program -> how it writes, what has to be said, the kind that comes out, whether normals do.
PROGRAMS: dict[str, tuple[Callable[[Path], None], Meaning, DepthKind, bool]] = {
    "MoGe": (_moge, Meaning(), DepthKind.METRIC, True),
    "Marigold": (_marigold, Meaning(), DepthKind.AFFINE, True),
    "Lotus": (_lotus, Meaning("AFFINE_DISPARITY"), DepthKind.AFFINE_DISPARITY, True),
    "Depth Anything V2": (_depth_anything_2, Meaning(), DepthKind.METRIC, False),
    "Depth Anything 3": (_depth_anything_3, Meaning("SCALE_FREE"), DepthKind.SCALE_FREE, False),
    "16-bit PNG": (_millimetres, Meaning(depth_unit="mm", normals_axes="opencv"), DepthKind.METRIC, True),
    "npz": (_plain_npz, Meaning(depth_unit="5"), DepthKind.METRIC, False),
    "EXR": (_plain_exr, Meaning(depth_unit="m", normals_axes="opencv"), DepthKind.METRIC, True),
    "maps.json": (_sidecar, Meaning(), DepthKind.METRIC, False),
    "single_view": (_single_view, Meaning(), DepthKind.SCALE_FREE, False),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_plane_comes_back(program: str, tmp_path: Path) -> None:
    write, meaning, kind, has_normals = PROGRAMS[program]
    write(tmp_path)
    found = load_for_photo(tmp_path, "in/a.jpg", 64, 48, meaning)
    assert found.depth is not None
    assert found.depth.kind is kind
    _check_plane(found.depth)
    model = PrecomputedModel(tmp_path, meaning)
    assert model.tasks == (("depth", "normal") if has_normals else ("depth",))
    assert (found.normals is not None) == has_normals
    if found.normals is not None:
        assert found.normals.valid[10:].all()
        cosine = (found.normals.values[10:] @ NORMAL).min()
        assert cosine > np.cos(np.radians(0.5))  # 8 bits, cut and not rounded, are 0.4 degrees off


def _check_plane(depth: DepthMap) -> None:
    """The numbers are those of the plane, up to what the kind leaves open."""
    truth = DEPTH if depth.kind is not DepthKind.AFFINE_DISPARITY else 1 / DEPTH
    x, y = truth[depth.valid].astype(np.float64), depth.values[depth.valid].astype(np.float64)
    assert depth.valid[10:].all()
    slope, shift = np.polyfit(x, y, 1)
    assert slope > 0  # larger is as near, or as far, as the kind says
    assert np.abs(y - slope * x - shift).max() < 0.02 * np.ptp(y)
    if depth.kind in (DepthKind.METRIC, DepthKind.SCALE_FREE):
        assert abs(shift) < 0.02 * np.ptp(y)
    if depth.kind is DepthKind.METRIC:
        assert slope == pytest.approx(1, abs=1e-3)


def test_the_mask_of_moge_leaves_pixels_out_and_its_field_of_view_is_kept(tmp_path: Path) -> None:
    _moge(tmp_path)
    found = load_for_photo(tmp_path, "in/a.jpg", 64, 48)
    assert found.depth is not None
    assert found.normals is not None
    assert not found.depth.valid[:8].any()
    assert not found.normals.valid[:8].any()
    assert found.meta["fov_x_deg"] == 60.0


def test_marigold_s_png_stands_in_for_its_npy_and_knows_no_gaps(tmp_path: Path) -> None:
    share = (DEPTH - DEPTH.min()) / np.ptp(DEPTH)
    write_png(tmp_path / "depth_bw/a_depth.png", (share * 65535).astype(np.uint16))
    found = load_for_photo(tmp_path, "a.jpg", 64, 48)
    assert found.depth is not None
    assert found.depth.valid.all()  # 0 is the nearest pixel


def test_0_of_a_png_is_unknown(tmp_path: Path) -> None:
    values = np.rint(DEPTH * 4000).astype(np.uint16)
    values[:, :5] = 0
    write_png(tmp_path / "a.png", values)
    found = load_for_photo(tmp_path, "a.jpg", 64, 48, Meaning(depth_unit="0.00025"))
    assert found.depth is not None
    assert not found.depth.valid[:, :5].any()
    assert found.depth.values[found.depth.valid].max() == pytest.approx(DEPTH[:, 5:].max(), abs=1e-3)


@pytest.mark.parametrize(
    ("write", "meaning", "said"),
    [
        (
            _millimetres,
            Meaning(),
            r"in/a.png does not say .*--depth-unit m, cm, mm .*--depth-kind SCALE_FREE or AFFINE",
        ),
        (_millimetres, Meaning("METRIC"), "METRIC depth needs its unit; give --depth-unit"),
        (_millimetres, Meaning(depth_unit="mm"), "a_normals.png does not say .*--normals-axes opencv"),
        (_millimetres, Meaning(depth_unit="mm", normals_axes="opengl"), "most of its normals look away"),
        (_lotus, Meaning(), r"a.npy \(Lotus\) does not say .*give --depth-kind AFFINE or AFFINE_DISPARITY"),
        (_lotus, Meaning("METRIC"), "METRIC is not what this program writes"),
        (_marigold, Meaning("SCALE_FREE"), r"\(Marigold\) is AFFINE depth, and the options say SCALE_FREE"),
        (_moge, Meaning(depth_unit="mm"), r"\(MoGe\) is in units of 1 m, and --depth-unit says 0.001 m"),
        (_moge, Meaning(normals_axes="lotus"), r"\(MoGe\) has the axes opengl"),
        (_depth_anything_3, Meaning(), r"\(Depth Anything 3\) does not say .*--depth-kind SCALE_FREE"),
        (_plain_npz, Meaning(), "a.npz does not say"),
        (_npz_with_normals, Meaning(depth_unit="m"), "a.npz does not say .*--normals-axes opencv"),
    ],
)
def test_what_is_not_said_has_to_be(write: Callable[[Path], None], meaning: Meaning, said: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match=said):
        load_for_photo(tmp_path, "in/a.jpg", 64, 48, meaning)


def test_depth_of_moge_without_normals_does_not_say_its_version(tmp_path: Path) -> None:
    _moge(tmp_path)
    (tmp_path / "in/a/normal.png").unlink()
    with pytest.raises(InputError, match=r"\(MoGe\) does not say"):
        load_for_photo(tmp_path, "in/a.jpg", 64, 48)
    found = load_for_photo(tmp_path, "in/a.jpg", 64, 48, Meaning("SCALE_FREE"))
    assert found.depth is not None
    assert found.depth.kind is DepthKind.SCALE_FREE


def test_a_picture_of_depth_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="8 bits and 3 channels: a picture of a depth map"):
        load_for_photo(tmp_path, "a.jpg", 64, 48, Meaning("AFFINE_DISPARITY"))


def test_results_without_names_or_with_others(tmp_path: Path) -> None:
    _depth_anything_3(tmp_path)
    meaning = Meaning("SCALE_FREE")
    with pytest.raises(MissingPredictionError):
        load_for_photo(tmp_path, "c.jpg", 64, 48, meaning)
    (tmp_path / "names.txt").write_text("b.jpg\n")
    with pytest.raises(InputError, match=r"has 1 names, .* 2 maps"):
        load_for_photo(tmp_path, "b.jpg", 64, 48, meaning)
    (tmp_path / "names.txt").unlink()
    with pytest.raises(InputError, match=r"holds 2 maps and no names: write the names .* to .*names.txt"):
        load_for_photo(tmp_path, "b.jpg", 64, 48, meaning)


def test_another_ratio_of_sides_is_refused(tmp_path: Path) -> None:
    _depth_anything_2(tmp_path)
    for size in ((64, 60), (48, 64), (100, 50)):
        with pytest.raises(InputError, match="the ratio of the sides must agree"):
            load_for_photo(tmp_path, "a.jpg", *size)


def test_edges_stay_sharp_where_maps_are_enlarged(tmp_path: Path) -> None:
    step = np.ones((24, 32), np.float32)
    step[:, 16:] = 3
    _npy(tmp_path / "a_raw_depth_meter.npy", step)
    found = load_for_photo(tmp_path, "a.jpg", 64, 48)
    assert found.depth is not None
    np.testing.assert_array_equal(np.unique(found.depth.values), [1, 3])


def _photos(root: Path, names: tuple[str, ...], orientation: int = 1) -> list[Photo]:
    photos = []
    for name in names:
        path = root / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(photo(48, 64)).save(path, exif=exif)
        photos.append(Photo(path, name))
    return photos


def test_photos_that_exif_turns_are_refused_where_the_program_does_not_look(tmp_path: Path) -> None:
    """Half a turn shows in no size."""
    _marigold(tmp_path / "maps")
    assert check_predictions(tmp_path / "maps", _photos(tmp_path, ("a.jpg",))) == []
    turned = _photos(tmp_path, ("a.jpg",), orientation=3)
    with pytest.raises(InputError, match="orientation 3.*Marigold does not look at"):
        check_predictions(tmp_path / "maps", turned)
    for path in (tmp_path / "maps").rglob("*"):
        path.unlink() if path.is_file() else None
    _depth_anything_2(tmp_path / "maps")  # OpenCV turns photos
    assert check_predictions(tmp_path / "maps", turned) == []


def test_two_photos_of_one_name_do_not_share_a_map(tmp_path: Path) -> None:
    _marigold(tmp_path / "maps")
    with pytest.raises(InputError, match=r"the depth of both x/a.jpg and y/a.jpg"):
        check_whose(tmp_path / "maps", _photos(tmp_path, ("x/a.jpg", "y/a.jpg")))


def test_units() -> None:
    assert [metres_per_unit(text) for text in ("m", "cm", "mm", "0.5", "2.5e-4")] == [1, 0.01, 0.001, 0.5, 2.5e-4]
    for text in ("km", "", "-1", "0", "nan", "inf", "1e9"):
        with pytest.raises(InputError, match="--depth-unit"):
            metres_per_unit(text)
    with pytest.raises(InputError, match="only METRIC depth has a unit"):
        Meaning("AFFINE", "mm")
    with pytest.raises(InputError, match="unknown depth kind"):
        Meaning("FAR")


def test_normals_of_ours_need_no_option(tmp_path: Path) -> None:
    normals = NormalMap(_everywhere(NORMAL), np.ones(DEPTH.shape, bool))
    depth = DepthMap(DEPTH, np.ones(DEPTH.shape, bool), DepthKind.METRIC)
    save_prediction(tmp_path / "a.npz", Prediction(depth, normals, {}))
    found = load_for_photo(tmp_path, "a.jpg", 64, 48)
    assert found.normals is not None
    assert PrecomputedModel(tmp_path).tasks == ("depth", "normal")
    with pytest.raises(InputError, match="is METRIC depth, and the options say AFFINE"):
        load_for_photo(tmp_path, "a.jpg", 64, 48, Meaning("AFFINE"))
    with pytest.raises(InputError, match="in units of 1 m, and --depth-unit says 0.001"):
        load_for_photo(tmp_path, "a.jpg", 64, 48, Meaning(depth_unit="mm"))
