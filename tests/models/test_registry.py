"""Names, checks before any weights, and the contract that every registered model keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from lotus_recon.errors import InputError, ReconError
from lotus_recon.io.maps import save_prediction
from lotus_recon.models import (
    ModelOptions,
    available_models,
    check_model,
    fetch_model,
    load_model,
    model_fingerprint,
)
from lotus_recon.models.registry import FAMILIES
from lotus_recon.types import DepthKind, DepthMap, Prediction
from tests.models.toys import photo, write_checkpoint

NAMES = [name for family in FAMILIES for name in family.NAMES]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A generative and a discriminative stand-in for whatever is downloaded."""
    root = tmp_path_factory.mktemp("stand-ins")
    return {
        "g": write_checkpoint(root / "g", in_channels=8, seed=1),
        "d": write_checkpoint(root / "d", in_channels=4, seed=2),
    }


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Maps for a photo a/1.png of 48 x 32 pixels."""
    values = np.linspace(1, 2, 32 * 48, dtype=np.float32).reshape(32, 48)
    depth = DepthMap(values, np.ones((32, 48), bool), DepthKind.SCALE_FREE)
    save_prediction(tmp_path / "stored" / "a" / "1.npz", Prediction(depth, None))
    return tmp_path / "stored"


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, checkpoints: dict[str, Path], stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        return str(checkpoints["g" if "-g-" in repo else "d"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    predictions = stored if name == "precomputed" else None
    edge = None if name == "precomputed" else 32
    options = ModelOptions(predictions=predictions, processing_res=edge)
    info = check_model(name, "cpu", options=options)
    fetch_model(name, options)
    model = load_model(name, device="cpu", predictions=predictions, processing_res=edge)

    assert model.name == info.name == Path(model.name).name
    assert model.tasks == info.tasks
    assert set(model.tasks) <= {"depth", "normal"}
    rgb = photo(32, 48)
    prediction = model.predict(rgb, seed=3, view="a/1.png")
    assert (prediction.depth is not None) == ("depth" in model.tasks)
    assert (prediction.normals is not None) == ("normal" in model.tasks)
    assert prediction.shape == (32, 48)
    again = model.predict_batch([rgb, rgb], 3, ["a/1.png", "a/1.png"])
    assert len(again) == 2
    for one, two in ((prediction.depth, again[1].depth), (prediction.normals, again[1].normals)):
        if one is not None and two is not None:
            np.testing.assert_array_equal(one.values, two.values)
    assert model_fingerprint(name, options) == model_fingerprint(name, options)


def test_every_name_is_in_the_help_text() -> None:
    text = available_models()
    for name in (*NAMES, "DEPTH,NORMAL", "--predictions"):
        assert name in text


def test_an_unknown_name_gets_the_list_of_models() -> None:
    with pytest.raises(InputError, match=r"(?s)'help' is neither.*nano .*lotus-d .*precomputed.*Hugging Face Hub"):
        check_model("help")


def test_a_model_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert check_model("nano").tasks == ("depth", "normal")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lotus-x", {}, "'lotus-x' is neither .* did you mean 'lotus-[dg]'"),
        ("lotus-normals-d-v1-1", {}, "did you mean 'lotus-normal-d-v1-1'"),
        ("a,b,c", {}, "DEPTH,NORMAL takes two"),
        ("lotus-normal-d-v1-1,lotus-depth-d-v1-0", {}, "predicts normal only"),
        ("lotus-d", {"task": "depth"}, "first predicts depth, the second normals"),
        ("lotus-d", {"predictions": Path("x")}, "belongs to --model precomputed"),
        ("nano", {"predictions": Path("x")}, "belongs to --model precomputed"),
        ("lotus-d", {"processing_res": -1}, "processing_res -1"),
        ("lotus-d", {"batch_size": 0}, "batch_size 0"),
        ("lotus-depth-d-v1-0", {"depth_space": "disparity"}, "affine in depth"),
        ("/nowhere/at/all", {"task": "depth"}, "no such folder"),
        ("precomputed", {}, "needs --predictions DIR"),
        ("precomputed", {"predictions": Path("/nowhere")}, "no such folder"),
        ("precomputed", {"predictions": Path("/nowhere"), "task": "depth"}, "--task applies to networks"),
    ],
)
def test_checked_before_any_weights(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_model(name, options=ModelOptions(**options))  # type: ignore[arg-type]  # by name


def test_unknown_folder_is_checked_before_any_weights(depth_g: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)--task .*--depth-space"):
        check_model(str(depth_g))
    with pytest.raises(InputError, match="--depth-space disparity"):
        check_model(str(depth_g), options=ModelOptions(task="depth"))
    assert check_model(str(depth_g), options=ModelOptions(task="normal")).tasks == ("normal",)


def test_names_of_folders_are_file_safe(tmp_path: Path, depth_g: Path, depth_d: Path) -> None:
    strange = tmp_path / "mein Netz (neu) ä"
    strange.symlink_to(depth_d)
    info = check_model(f"{depth_d},{depth_g}", options=ModelOptions())
    assert info.name == "lotus-depth-d-v2-0-disparity+toy"
    assert info.tasks == ("depth", "normal")


def test_fingerprint_follows_the_files(depth_g: Path, stored: Path, tmp_path: Path) -> None:
    options = ModelOptions(predictions=stored)
    before = model_fingerprint("precomputed", options)
    (stored / "b.npz").write_bytes((stored / "a" / "1.npz").read_bytes())
    assert model_fingerprint("precomputed", options) != before

    folder = write_checkpoint(tmp_path / "own")
    options = ModelOptions(task="normal")
    before = model_fingerprint(str(folder), options)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert model_fingerprint(str(folder), options) != before


def test_errors_are_for_the_user() -> None:
    with pytest.raises(ReconError):
        load_model("lotus-d", device="cpu")


def test_importing_the_package_loads_no_network_library() -> None:
    script = (
        "import sys; import lotus_recon.models, lotus_recon.models.config, lotus_recon.models.lotus\n"
        "from lotus_recon.models import available_models, check_model\n"
        "check_model('lotus-d'); available_models()\n"
        "heavy = [name for name in ('torch', 'diffusers', 'transformers', 'pycolmap') if name in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
