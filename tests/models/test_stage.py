"""The prediction stage: stored maps through the undistortion, masks, missing views, resuming."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import Photo, read_rgb, write_png
from lotus_recon.io.maps import load_prediction, save_arrays, save_prediction
from lotus_recon.models import load_model, stage
from lotus_recon.models.config import AdvancedPrediction, PredictionConfig
from lotus_recon.models.precomputed import MissingPredictionError, check_predictions
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, Prediction, Scene, SparsePoints, View
from tests.models.toys import photo

SOURCE = SourceCamera("SIMPLE_RADIAL", 160, 120, (150.0, 82.0, 58.0, 0.12))
CAMERA = Camera(150, 110, 146.0, 146.0, 74.0, 56.0)
PLANE = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])  # unit normal, faces the camera
NAMES = ("a/1.png", "a/2.png", "b/1.png")


def _photo_rays(source: SourceCamera) -> NDArray[np.float64]:
    """(H, W, 3) rays of the distorted photo's pixels: the inverse of what is tested, by bisection on the radius."""
    focal, cx, cy, k = source.params
    y, x = np.mgrid[: source.height, : source.width] + 0.5
    distorted = np.stack([(x - cx) / focal, (y - cy) / focal], axis=-1)
    radius = np.linalg.norm(distorted, axis=-1)
    low, high = np.zeros_like(radius), 2 * radius
    for _ in range(60):
        middle = (low + high) / 2
        beyond = middle * (1 + k * middle**2) > radius
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    plane = distorted * (low / np.maximum(radius, 1e-12))[..., None]
    return np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)


def _plane_depth(rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """z-depth of the plane PLANE . X = -2 along rays with z = 1."""
    return -2.0 / (rays @ PLANE)


@dataclass
class Setup:
    """A scene of three views with one distorted camera, and true maps of its photos."""

    root: Path
    inputs: stage.Inputs

    @property
    def stored(self) -> Path:
        return self.root / "stored"

    @property
    def config(self) -> PredictionConfig:
        return PredictionConfig(model="precomputed", predictions=self.stored)

    def run(self, config: PredictionConfig | None = None, out: str = "out") -> stage.PredictionResult:
        folder = self.root / out
        folder.mkdir(exist_ok=True)
        return stage.run(self.inputs, config or self.config, folder)

    def prediction(self, name: str, out: str = "out") -> Prediction:
        return load_prediction(self.root / out / f"{name.removesuffix('.png')}.npz")


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    truth = _plane_depth(_photo_rays(SOURCE)).astype(np.float32)
    everywhere = np.ones(truth.shape, bool)
    normals = NormalMap(np.broadcast_to(PLANE, (*truth.shape, 3)).astype(np.float32), everywhere)
    for i, name in enumerate(NAMES):
        write_png(tmp_path / "photos" / name, photo(120, 160, seed=i))
        write_png(tmp_path / "images" / name, photo(110, 150, seed=i))
        prediction = Prediction(DepthMap(truth, everywhere, DepthKind.METRIC), normals, {"model": "truth"})
        save_prediction(tmp_path / "stored" / f"{name.removesuffix('.png')}.npz", prediction)
    views = tuple(View(name, CAMERA, np.eye(4)) for name in NAMES)
    inputs = stage.Inputs(
        scene=Scene(views, SparsePoints.empty()),
        images_dir=tmp_path / "images",
        photos_dir=tmp_path / "photos",
        source_cameras=dict.fromkeys(NAMES, SOURCE),
        masks={},
        runtime=Runtime(device="cpu"),
    )
    return Setup(tmp_path, inputs)


def test_stored_maps_follow_the_undistortion_of_a_tilted_plane(setup: Setup) -> None:
    result = setup.run()
    assert result == stage.PredictionResult("precomputed", NAMES, ())
    assert stage.PredictionResult.load(setup.root / "out") == result
    prediction = setup.prediction("a/1.png")
    assert prediction.depth is not None
    assert prediction.normals is not None
    truth = _plane_depth(rays_in_cam(CAMERA))
    valid = prediction.depth.valid
    assert valid.mean() > 0.95
    error = np.abs(prediction.depth.values / truth - 1)
    # Half a pixel beside the right place is an error of 1e-3, as at the photo's border, where the last pixel repeats.
    # Between four pixels, bilinear interpolation leaves 1e-5.
    xy = SOURCE.xy_of(CAMERA)
    between = ((xy >= 0.5) & (xy <= [SOURCE.width - 0.5, SOURCE.height - 0.5])).all(-1)
    assert error[between].max() < 2e-5
    assert error[valid].max() < 2e-3
    np.testing.assert_allclose(prediction.normals.values[valid], np.broadcast_to(PLANE, (valid.sum(), 3)), atol=1e-6)
    assert prediction.depth.kind is DepthKind.METRIC
    assert prediction.meta["model"] == "truth"


def test_without_distortion_the_very_same_values_come_back(setup: Setup) -> None:
    camera = Camera(160, 120, 150.0, 151.0, 82.0, 58.0)
    views = tuple(View(name, camera, np.eye(4)) for name in NAMES)
    sources = dict.fromkeys(NAMES, SourceCamera("PINHOLE", 160, 120, (150.0, 151.0, 82.0, 58.0)))
    scene = replace(setup.inputs.scene, views=views)
    setup.inputs = replace(setup.inputs, scene=scene, source_cameras=sources)
    setup.run()
    given, got = load_prediction(setup.stored / "a" / "1.npz"), setup.prediction("a/1.png")
    assert given.depth is not None
    assert got.depth is not None
    np.testing.assert_array_equal(got.depth.values, given.depth.values)
    assert got.depth.valid.all()


def test_camera_estimated_on_a_smaller_copy(setup: Setup) -> None:
    setup.run()
    half = SourceCamera("SIMPLE_RADIAL", 80, 60, (75.0, 41.0, 29.0, 0.12))
    setup.inputs = replace(setup.inputs, source_cameras=dict.fromkeys(NAMES, half))
    setup.run(out="half")
    one, two = setup.prediction("a/1.png").depth, setup.prediction("a/1.png", "half").depth
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(one.values, two.values, rtol=1e-5)


def test_masks_of_the_photos_are_carried_along(setup: Setup) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[:, 82:] = 1  # right of the principal point, which distortion does not move
    write_png(setup.root / "mask.png", mask)
    setup.inputs = replace(setup.inputs, masks={"a/1.png": setup.root / "mask.png"})
    setup.run()
    masked, free = setup.prediction("a/1.png"), setup.prediction("a/2.png")
    assert masked.depth is not None
    assert masked.normals is not None
    assert free.depth is not None
    assert free.normals is not None
    right = np.arange(150) + 0.5 >= 74
    np.testing.assert_array_equal(masked.depth.valid, free.depth.valid & right)
    np.testing.assert_array_equal(masked.normals.valid, free.normals.valid & right)


def test_view_that_is_masked_out_wholly_is_missing(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    write_png(setup.root / "black.png", np.zeros((120, 160), np.uint8))
    setup.inputs = replace(setup.inputs, masks={"b/1.png": setup.root / "black.png"})
    assert setup.run().missing == ("b/1.png",)
    assert "b/1.png" in caplog.text
    setup.inputs = replace(setup.inputs, masks=dict.fromkeys(NAMES, setup.root / "black.png"))
    with pytest.raises(InputError, match="masks exclude every pixel of all 3 views"):
        setup.run(out="none")


def test_normals_that_look_away_are_dropped(setup: Setup) -> None:
    stored = load_prediction(setup.stored / "a" / "1.npz")
    assert stored.normals is not None
    values = stored.normals.values.copy()
    values[:60] *= -1
    save_prediction(setup.stored / "a" / "1.npz", replace(stored, normals=NormalMap(values, stored.normals.valid)))
    setup.run()
    normals = setup.prediction("a/1.png").normals
    assert normals is not None
    assert not normals.valid[:50].any()
    assert normals.valid[62:-5, 5:-5].all()


def test_missing_predictions_are_a_warning(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    (setup.stored / "a" / "2.npz").unlink()
    result = setup.run()
    assert result.missing == ("a/2.png",)
    assert result.names == ("a/1.png", "b/1.png")
    assert "1 of 3 photos have no prediction: a/2.png" in caplog.text
    photos = [Photo(setup.root / "photos" / name, name) for name in NAMES]
    assert check_predictions(setup.stored, photos) == ["a/2.png"]


def test_no_prediction_at_all_is_an_error(setup: Setup) -> None:
    photos = [Photo(setup.root / "photos" / name, name) for name in NAMES]
    (setup.stored / "a").rename(setup.stored / "c")
    (setup.stored / "b").rename(setup.stored / "d")
    expected = r"none of the 3 photos; expected, for instance, .*stored/a/1\.npz"
    with pytest.raises(InputError, match=expected):
        setup.run()
    with pytest.raises(InputError, match=expected):
        check_predictions(setup.stored, photos)


def _spoil(path: Path, how: str) -> None:
    depth = np.ones((120, 160), np.float32)
    meta = np.array('{"kind": "SCALE_FREE"}')
    arrays = {
        "size": {"depth": depth[:, :150], "meta": meta},
        "rotated": {"depth": depth.T, "meta": meta},
        "kind": {"depth": depth, "meta": np.array('{"kind": "INVERSE"}')},
        "no kind": {"depth": depth, "meta": np.array("{}")},
        "no meta": {"depth": depth},
        "all nan": {"depth": depth * np.nan, "meta": meta},
        "nan": {"depth": np.where(depth > 0, np.nan, 1), "depth_valid": depth > 0, "meta": meta},
        "no depth": {"normals": np.dstack([0 * depth, 0 * depth, -depth]), "meta": meta},
    }
    if how == "broken":
        path.write_bytes(b"PK and then nothing")
    else:
        save_arrays(path, **arrays[how])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("size", "150x120 pixels, its photo 160x120: they must agree"),
        ("rotated", "EXIF rotation"),
        ("kind", "unknown depth kind 'INVERSE'; allowed: METRIC"),
        ("no kind", "'meta' has no 'kind'"),
        ("no meta", "does not say what its numbers mean: give --depth-unit"),
        ("all nan", "no valid pixel"),
        ("nan", "NaN or infinite values at pixels marked valid"),
        ("no depth", "has no 'depth'"),
        ("broken", "cannot be read as npz"),
    ],
)
def test_unusable_predictions_are_named(setup: Setup, how: str, message: str) -> None:
    _spoil(setup.stored / "a" / "2.npz", how)
    photos = [Photo(setup.root / "photos" / name, name) for name in NAMES]
    with pytest.raises(InputError, match=rf"(?s)1 of the predictions.*2\.npz.*{message}"):
        check_predictions(setup.stored, photos)
    with pytest.raises(InputError, match=rf"(?s)2\.npz.*{message}"):
        setup.run()


def test_precomputed_model_by_hand(setup: Setup) -> None:
    model = load_model("precomputed", predictions=setup.stored)
    rgb = photo(120, 160)
    prediction = model.predict(rgb, view="a/1.png")
    assert model.tasks == ("depth", "normal")
    assert prediction.shape == (120, 160)
    with pytest.raises(MissingPredictionError, match=r"no prediction for z\.jpg"):
        model.predict(rgb, view="z.jpg")
    with pytest.raises(InputError, match="they must agree"):
        model.predict(rgb[:100], view="a/1.png")
    with pytest.raises(InputError, match="view=NAME"):
        model.predict(rgb)


def test_network_predicts_every_view(setup: Setup, depth_d: Path, normal_d: Path) -> None:
    config = PredictionConfig(
        model=f"{depth_d},{normal_d}", processing_res=0, advanced=AdvancedPrediction(images_per_batch=2)
    )
    result = setup.run(config)
    assert result.names == NAMES
    model = load_model(f"{depth_d},{normal_d}", device="cpu", processing_res=0, batch_size=2)
    expected = model.predict_batch([photo(110, 150, seed=i) for i in range(2)], seed=0)
    xy = SOURCE.xy_of(CAMERA)
    shown = ((xy >= 0) & (xy <= [SOURCE.width, SOURCE.height])).all(-1)
    assert 0.95 < shown.mean() < 1  # the undistorted image has corners that the photo does not show
    for name, reference in zip(NAMES, expected, strict=False):
        got = setup.prediction(name)
        assert got.depth is not None
        assert reference.depth is not None
        np.testing.assert_array_equal(got.depth.values, np.where(shown, reference.depth.values, 0))
        assert got.depth.kind is DepthKind.AFFINE_DISPARITY
        np.testing.assert_array_equal(got.depth.valid, shown)


def test_interrupted_run_ends_in_the_same_files(setup: Setup, depth_d: Path) -> None:
    config = PredictionConfig(model=str(depth_d), processing_res=0, advanced=AdvancedPrediction(images_per_batch=2))
    setup.run(config)
    files = {path: path.read_bytes() for path in (setup.root / "out").rglob("*") if path.is_file()}
    kept = setup.root / "out" / "a" / "1.npz"
    before = kept.stat().st_mtime_ns
    (setup.root / "out" / "b" / "1.npz").unlink()
    setup.run(config)
    assert {path: path.read_bytes() for path in files} == files
    assert kept.stat().st_mtime_ns == before  # its batch was whole
    (setup.root / "out" / "a" / "2.npz").unlink()
    setup.run(config)
    assert {path: path.read_bytes() for path in files} == files


def test_image_of_another_size_than_its_camera(setup: Setup, depth_d: Path) -> None:
    write_png(setup.root / "images" / "a" / "2.png", photo(100, 150))
    with pytest.raises(InputError, match=r"2\.png is 150x100 pixels, its camera"):
        setup.run(PredictionConfig(model=str(depth_d), processing_res=0))


class Waiting:
    """A network that is done with a view only when the maps of the view before are being saved and the next is read."""

    name, tasks, batch_size = "waiting", ("depth",), 1

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: dict[str, threading.Event] = {name: threading.Event() for name in NAMES}
        self.saving: dict[str, threading.Event] = {name: threading.Event() for name in NAMES}
        self.begun: dict[str, threading.Event] = {name: threading.Event() for name in NAMES}
        monkeypatch.setattr(stage, "make_model", lambda *_: self)
        monkeypatch.setattr(stage, "read_rgb", self._read)
        monkeypatch.setattr(stage, "_save_usable", self._save)

    def _read(self, path: Path) -> NDArray[np.uint8]:
        name = path.relative_to(path.parents[1]).as_posix()
        self.read[name].set()
        return read_rgb(path)

    def _save(self, inputs: stage.Inputs, view: View, *rest: Any) -> bool:
        self.saving[view.name].set()
        for later in NAMES[NAMES.index(view.name) + 1 :][:1]:
            assert self.begun[later].wait(30), "the network waits for maps to be saved"
        return view.name != NAMES[1]  # as if its mask excluded every pixel

    def predict_batch(self, images: list[Any], seed: int | None, views: list[str]) -> list[Prediction]:
        self.begun[views[0]].set()
        for later in NAMES[NAMES.index(views[0]) + 1 :][:1]:
            assert self.read[later].wait(30), "the next photo is not read meanwhile"
        valid = np.ones(images[0].shape[:2], bool)
        return [Prediction(DepthMap(valid.astype(np.float32), valid, DepthKind.METRIC), None)]


def test_photos_are_read_and_maps_saved_while_the_network_runs(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    Waiting(monkeypatch)
    result = setup.run()
    assert (result.names, result.missing) == ((NAMES[0], NAMES[2]), (NAMES[1],))


class Counting:
    """A network that remembers what it saw, and whose depth is the plane of its camera."""

    name, tasks, batch_size = "counting", ("depth",), 2

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.camera = CAMERA
        monkeypatch.setattr(stage, "make_model", lambda *_: self)
        monkeypatch.setattr(stage, "model_fingerprint", lambda *_: "weights")

    def predict_batch(self, images: list[Any], seed: int | None, views: list[str]) -> list[Prediction]:
        self.seen += views
        depth = _plane_depth(rays_in_cam(self.camera)).astype(np.float32)
        one = Prediction(DepthMap(depth, np.ones(depth.shape, bool), DepthKind.SCALE_FREE), None, {"model": "counting"})
        return [one] * len(images)

    def take(self) -> list[str]:
        """Names of the views since the last time."""
        seen, self.seen = self.seen, []
        return seen


@pytest.fixture
def counting(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Counting:
    setup.inputs = replace(setup.inputs, kept=setup.root / "kept")
    return Counting(monkeypatch)


NETWORK = PredictionConfig(model="nano")


def test_a_photo_more_is_the_only_one_that_the_network_sees(setup: Setup, counting: Counting) -> None:
    everything = setup.inputs
    setup.inputs = replace(everything, scene=replace(everything.scene, views=everything.scene.views[:2]))
    setup.run(NETWORK)
    assert counting.take() == list(NAMES[:2])
    setup.inputs = everything
    setup.run(NETWORK, out="more")
    assert counting.take() == [NAMES[2]]
    assert (setup.root / "more/a/1.npz").samefile(setup.root / "out/a/1.npz")  # no space twice
    setup.run(replace(NETWORK, processing_res=512), out="other options")
    assert counting.take() == list(NAMES)
    write_png(setup.root / "photos" / NAMES[0], photo(120, 160, seed=9))
    write_png(setup.root / "mask.png", np.full((120, 160), 255, np.uint8))
    setup.inputs = replace(everything, masks={NAMES[1]: setup.root / "mask.png"})
    setup.run(replace(NETWORK, processing_res=512), out="edited")
    assert counting.take() == list(NAMES[:2])


def test_kept_maps_follow_a_camera_that_is_estimated_anew(setup: Setup, counting: Counting) -> None:
    """A little other lens and a pixel less: the plane is where the new camera sees it."""
    setup.run(NETWORK)
    counting.take()
    source = SourceCamera("SIMPLE_RADIAL", 160, 120, (150.6, 82.3, 58.2, 0.121))
    camera = Camera(149, 109, 145.4, 145.4, 73.7, 55.6)
    views = tuple(View(name, camera, np.eye(4)) for name in NAMES)
    scene = replace(setup.inputs.scene, views=views)
    setup.inputs = replace(setup.inputs, scene=scene, source_cameras=dict.fromkeys(NAMES, source))
    setup.run(NETWORK, out="anew")
    assert counting.take() == []
    depth = setup.prediction("a/1.png", "anew").depth
    assert depth is not None
    # The network saw the plane in the pixels of its photo, through the old lens: so is what is right now.
    xy = source.xy_of(camera).reshape(-1, 2)
    rays = SOURCE.rays_of(xy).reshape(109, 149, 3)
    error = np.abs(depth.values / _plane_depth(rays) - 1)
    assert depth.valid.mean() > 0.95
    assert error[depth.valid].max() < 2e-3
    exact = replace(setup.inputs, runtime=Runtime(device="cpu", deterministic=True))
    counting.camera = camera
    for inputs in (exact, replace(exact, source_cameras=dict.fromkeys(NAMES, SOURCE))):
        setup.inputs = inputs
        for name in NAMES:
            write_png(setup.root / "images" / name, photo(109, 149))
        setup.run(NETWORK, out=f"exact {inputs is exact}")
        assert counting.take() == list(NAMES)


def test_another_lens_or_changed_maps_are_predicted_again(setup: Setup, counting: Counting) -> None:
    setup.run(NETWORK)
    counting.take()
    maps = next((setup.root / "kept").glob("*.npz"))
    maps.write_bytes(maps.read_bytes()[:-40])
    setup.run(NETWORK, out="damaged")
    assert len(counting.take()) == 1
    other = SourceCamera("SIMPLE_RADIAL", 160, 120, (150.0, 82.0, 58.0, 0.3))
    setup.inputs = replace(setup.inputs, source_cameras=dict.fromkeys(NAMES, other))
    setup.run(NETWORK, out="other lens")
    assert counting.take() == list(NAMES)
