"""Folders, names, lotus.json, and everything that can be wrong with them."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError, ModelError
from lotus_recon.models import load_model
from lotus_recon.models.base import resolve_device, resolve_dtype
from lotus_recon.models.lotus import LotusModel
from lotus_recon.models.lotus.checkpoints import PAIRS, RELEASED
from lotus_recon.models.lotus.parts import load_parts
from lotus_recon.types import DepthKind
from tests.models.toys import photo, write_checkpoint

RGB = photo(32, 40)


def _copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def _with_metadata(folder: Path, to: Path, **metadata: Any) -> Path:
    _copy(folder, to)
    (to / "lotus.json").write_text(json.dumps(metadata))
    return to


def test_the_released_checkpoints() -> None:
    spaces = {name: metadata.depth_space for name, metadata in RELEASED.items()}
    assert spaces == {
        "lotus-depth-g-v1-0": "depth",
        "lotus-depth-d-v1-0": "depth",
        "lotus-depth-g-v2-1-disparity": "disparity",
        "lotus-depth-d-v2-0-disparity": "disparity",
        "lotus-normal-g-v1-1": None,
        "lotus-normal-d-v1-1": None,
    }
    for name, metadata in RELEASED.items():
        assert metadata.mode == name.split("-")[2].upper()
        assert list(metadata.tasks) == [name.split("-")[1]]
        assert metadata.timestep == 999
        assert metadata.processing_res == 768
    assert PAIRS["lotus-g"] == ("lotus-depth-g-v2-1-disparity", "lotus-normal-g-v1-1")


def test_mode_follows_from_the_input_channels(depth_d: Path, depth_g: Path) -> None:
    assert LotusModel.from_pretrained(depth_d, device="cpu").mode == "D"
    assert LotusModel.from_pretrained(depth_g, task="normal", device="cpu").mode == "G"


def test_unknown_folder_needs_a_task(depth_g: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)--task .*--depth-space"):
        LotusModel.from_pretrained(depth_g, device="cpu")


def test_raw_needs_no_depth_space_but_predict_does(depth_g: Path) -> None:
    model = LotusModel.from_pretrained(depth_g, task="depth", device="cpu")
    assert model.raw(RGB, processing_res=0).shape == (32, 40, 3)
    with pytest.raises(InputError, match="--depth-space disparity"):
        model.predict(RGB)


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        ("disparity", DepthKind.AFFINE_DISPARITY),
        ("AFFINE_DISPARITY", DepthKind.AFFINE_DISPARITY),
        ("depth", DepthKind.AFFINE),
        ("affine", DepthKind.AFFINE),
    ],
)
def test_depth_space_becomes_the_kind(depth_g: Path, space: str, kind: DepthKind) -> None:
    model = LotusModel.from_pretrained(depth_g, task="depth", depth_space=space, device="cpu")
    model.processing_res = 0
    depth = model.predict(RGB).depth
    assert depth is not None
    assert depth.kind is kind


def test_options_must_not_contradict_what_is_known(depth_d: Path) -> None:
    with pytest.raises(InputError, match="affine in disparity"):
        LotusModel.from_pretrained(depth_d, depth_space="depth", device="cpu")
    with pytest.raises(InputError, match="predicts depth only"):
        LotusModel.from_pretrained(depth_d, task="normal", device="cpu")
    with pytest.raises(InputError, match="'depht' is unknown; allowed: depth, normal"):
        LotusModel.from_pretrained(depth_d, task="depht", device="cpu")
    with pytest.raises(InputError, match="--depth-space 'inverse' is unknown"):
        LotusModel.from_pretrained(depth_d, depth_space="inverse", device="cpu")
    with pytest.raises(InputError, match="belongs to a Hub id"):
        LotusModel.from_pretrained(depth_d, revision="main", device="cpu")


def test_own_checkpoint_with_several_tasks(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "own", in_channels=4, switcher_size=3)
    metadata = {
        "tasks": {"depth": [1, 0, 0], "normal": [0, 1, 0]},
        "depth_space": "disparity",
        "mode": "D",
        "timestep": 500,
        "reconstruction": [0, 0, 1],
        "processing_res": 40,
    }
    (folder / "lotus.json").write_text(json.dumps(metadata))
    model = LotusModel.from_pretrained(folder, device="cpu")
    assert model.tasks == ("depth", "normal")
    assert model.metadata.timestep == 500
    assert model.raw(photo(64, 80), task="depth", resize_back=False).shape == (32, 40, 3)
    with pytest.raises(InputError, match="choose one"):
        model.raw(RGB)

    both = model.predict(RGB)
    assert both.depth is not None
    assert both.normals is not None
    raw_depth = model.raw(RGB, task="depth")
    np.testing.assert_allclose(both.depth.values, raw_depth.mean(-1), atol=1e-6)
    assert np.abs(raw_depth - model.raw(RGB, task="normal")).max() > 1e-3  # the code tells them apart

    only = LotusModel.from_pretrained(folder, task="normal", device="cpu")
    assert only.tasks == ("normal",)
    assert only.predict(RGB).depth is None


def test_timestep_and_code_reach_the_network(depth_d: Path, tmp_path: Path) -> None:
    metadata = {"depth_space": "disparity", "processing_res": 0}
    raw = {}
    changes: dict[str, dict[str, Any]] = {"same": {}, "time": {"timestep": 1}, "code": {"tasks": {"depth": [0, 1]}}}
    for name, change in changes.items():
        folder = _with_metadata(depth_d, tmp_path / name, **{"tasks": {"depth": [1, 0]}, **metadata, **change})
        raw[name] = LotusModel.from_pretrained(folder, device="cpu").raw(RGB)
    released = LotusModel.from_pretrained(depth_d, device="cpu").raw(RGB, processing_res=0)
    np.testing.assert_array_equal(raw["same"], released)
    assert np.abs(raw["time"] - released).max() > 1e-4
    assert np.abs(raw["code"] - released).max() > 1e-4


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"tasks": {"depth": [1, 0]}}, "'depth_space' is missing"),
        ({"tasks": {"depth": [1, 0]}, "depth_space": "metres"}, "depth-space 'metres' is unknown"),
        ({"tasks": {}}, "'tasks' must map"),
        ({"tasks": {"flow": [1, 0]}}, "'tasks' must map"),
        ({"tasks": {"normal": "10"}}, "'tasks.normal' must be a list of numbers"),
        ({"tasks": {"normal": [1, 0]}, "timestep": -1}, "'timestep' must be a whole number"),
        ({"tasks": {"normal": [1, 0]}, "timestap": 1}, "unknown key 'timestap'; did you mean 'timestep'"),
        ({"tasks": {"normal": [1, 0]}, "mode": "X"}, "'mode' 'X' is unknown; allowed: G, D"),
        ({"tasks": {"normal": [1, 0]}, "mode": "G"}, "discriminative checkpoint, not a generative one"),
        ({"tasks": {"normal": [1, 0, 0]}}, "no class embedding for the task switcher of 'normal'"),
    ],
)
def test_broken_lotus_json(depth_d: Path, tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    folder = _with_metadata(depth_d, tmp_path / "own", **metadata)
    with pytest.raises(ModelError, match=message):
        LotusModel.from_pretrained(folder, device="cpu")


def test_pickled_weights_are_read_on_request_only(
    depth_d: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "lotus-depth-d-v2-0-disparity", seed=1, safe=False)
    assert (folder / "unet" / "diffusion_pytorch_model.bin").is_file()
    with pytest.raises(ModelError, match=r"\.bin is a pickle.* set LOTUS_RECON_PICKLED_WEIGHTS=1"):
        LotusModel.from_pretrained(folder, device="cpu")
    monkeypatch.setenv("LOTUS_RECON_PICKLED_WEIGHTS", "1")
    expected = LotusModel.from_pretrained(depth_d, device="cpu").raw(RGB, processing_res=0)
    np.testing.assert_array_equal(LotusModel.from_pretrained(folder, device="cpu").raw(RGB, processing_res=0), expected)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_missing_sub_folder_is_named(depth_d: Path, tmp_path: Path, part: str) -> None:
    folder = _copy(depth_d, tmp_path / depth_d.name)
    shutil.rmtree(folder / part)
    with pytest.raises(ModelError, match=f"incomplete; missing: {part}/"):
        LotusModel.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize(
    "file",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_truncated_file_is_named(depth_d: Path, tmp_path: Path, file: str) -> None:
    folder = _copy(depth_d, tmp_path / depth_d.name)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=file.split("/")[0]):
        LotusModel.from_pretrained(folder, device="cpu")


def test_missing_weights_are_never_made_up(depth_d: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = _copy(depth_d, tmp_path / depth_d.name)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["conv_in.weight"]
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"lacks 1 weights, for instance conv_in\.weight"):
        LotusModel.from_pretrained(folder, device="cpu")


def test_plain_stable_diffusion_is_refused(depth_d: Path, tmp_path: Path) -> None:
    folder = _copy(depth_d, tmp_path / depth_d.name)
    config = json.loads((folder / "unet" / "config.json").read_text())
    for change, message in (
        ({"in_channels": 9}, "9 channels; allowed: 8"),
        ({"class_embed_type": None}, "not a Lotus"),
    ):
        (folder / "unet" / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ModelError, match=message):
            LotusModel.from_pretrained(folder, device="cpu")


def test_offline_and_not_cached_names_the_files_and_the_way_out() -> None:
    with pytest.raises(ModelError) as caught:
        LotusModel.from_pretrained("lotus-depth-d-v2-0-disparity", device="cpu")
    message = str(caught.value)
    assert "jingheya/lotus-depth-d-v2-0-disparity" in message
    assert "unet/diffusion_pytorch_model.safetensors" in message
    assert "text_encoder/model.safetensors" in message
    assert "--model FOLDER" in message


def _into_hub_cache(checkpoint: Path, repo: str) -> Path:
    """The layout of the Hub's cache, as a download leaves it."""
    root = Path(huggingface_hub.constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    return _copy(checkpoint, root / "snapshots" / ("0" * 40))


def _cached_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """``try_to_load_from_cache`` binds its cache folder at import: give it the present one."""
    real = huggingface_hub.try_to_load_from_cache

    def here(repo: str, file: str, revision: str | None = None) -> Any:
        return real(repo, file, cache_dir=huggingface_hub.constants.HF_HUB_CACHE, revision=revision)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", here)


def test_offline_but_cached_works(depth_d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cached_in(monkeypatch)
    folder = _into_hub_cache(depth_d, "jingheya/lotus-depth-d-v2-0-disparity")
    expected = LotusModel.from_pretrained(depth_d, device="cpu").raw(RGB, processing_res=0)
    model = LotusModel.from_pretrained("lotus-depth-d-v2-0-disparity", device="cpu")
    np.testing.assert_array_equal(model.raw(RGB, processing_res=0), expected)

    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"Missing: vae/diffusion_pytorch_model\.safetensors"):
        LotusModel.from_pretrained("jingheya/lotus-depth-d-v2-0-disparity", device="cpu")


def test_download_asks_for_the_revision_and_only_the_files_needed(
    depth_d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []

    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision, allow_patterns))
        return str(depth_d)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    LotusModel.from_pretrained("lotus-depth-d-v2-0-disparity", device="cpu", revision="v2")
    assert [(repo, revision) for repo, revision, _ in asked] == [("jingheya/lotus-depth-d-v2-0-disparity", "v2")]
    patterns = asked[0][2]
    assert "unet/diffusion_pytorch_model.safetensors" in patterns
    assert "text_encoder/model.safetensors" in patterns
    for unwanted in ("unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.bin", "README.md"):
        assert not any(fnmatch(unwanted, pattern) for pattern in patterns)


def test_pickled_weights_are_downloaded_when_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTUS_RECON_PICKLED_WEIGHTS", "1")
    hub = write_checkpoint(tmp_path / "hub", safe=False)
    cache = tmp_path / "snapshot"

    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        for path in (path for path in hub.rglob("*") if path.is_file()):
            name = path.relative_to(hub).as_posix()
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cache / name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = LotusModel.from_pretrained("lotus-normal-d-v1-1", device="cpu")
    assert model.raw(RGB, processing_res=0).shape == RGB.shape
    assert sorted(path.suffix for path in (cache / "unet").iterdir()) == [".bin", ".json"]


def test_folder_with_a_comma_and_other_letters_in_its_name(depth_d: Path, tmp_path: Path) -> None:
    folder = _copy(depth_d, tmp_path / "Tiefe, größer" / "lotus-depth-d-v2-0-disparity")
    model = load_model(str(folder), device="cpu", processing_res=0)
    assert model.predict(RGB).shape == RGB.shape[:2]


def test_half_precision_agrees_with_single(depth_d: Path, depth_g: Path) -> None:
    """What CUDA computes in, run here on the CPU: every tensor meets every other in the same format."""
    for folder in (depth_d, depth_g):
        single = LotusModel.from_pretrained(folder, task="depth", depth_space="disparity", device="cpu")
        half = load_parts(folder, single.metadata, torch.device("cpu"), torch.bfloat16)
        maps = [LotusModel("half", parts, single.metadata, 0).raw(RGB) for parts in (single.parts, half)]
        assert maps[1].dtype == np.float32
        assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.99


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        LotusModel.from_pretrained(tmp_path / "nothing", task="depth", device="cpu")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        LotusModel.from_pretrained(tmp_path / "file", task="depth", device="cpu")
    with pytest.raises(InputError, match="did you mean 'jingheya/lotus-normal-d-v1-1'"):
        LotusModel.from_pretrained("jingheya/lotus-normal-d-v1-0", device="cpu")


def test_devices_and_number_formats(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type in ("cpu", "mps")
    with pytest.raises(InputError, match=r"--device cuda.*available: .*cpu"):
        resolve_device("cuda")
    with pytest.raises(InputError, match="'gpu' is unknown"):
        resolve_device("gpu")
    assert resolve_dtype("fp16", torch.device("cpu")) is torch.float32
    assert "runs in float32" in caplog.text
    caplog.clear()
    assert resolve_dtype("auto", torch.device("mps")) is torch.float32
    assert not caplog.text
    assert resolve_dtype("auto", torch.device("cuda")) is torch.float16
    assert resolve_dtype("bfloat16", torch.device("cuda")) is torch.bfloat16
    with pytest.raises(InputError, match="'float8' is unknown"):
        resolve_dtype("float8", torch.device("cuda"))


def test_the_folder_of_a_training_run_points_to_its_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "run/model")
    (tmp_path / "run/model/lotus.json").touch()
    with pytest.raises(InputError, match=r"folder of a training run; its model is .*run/model"):
        load_model(str(tmp_path / "run"), device="cpu")


def test_a_path_is_not_an_image() -> None:
    with pytest.raises(InputError, match="must be an array.*not str"):
        load_model("nano", device="cpu").predict("photo.jpg")  # type: ignore[arg-type]
