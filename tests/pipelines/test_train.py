"""python -m pipelines.train: recipes, options, a real run of a tiny network on files, and what is refused."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.config import load_config
from lotus_recon.errors import InputError
from lotus_recon.io.images import write_png
from lotus_recon.options import fields_of, leaf_options
from lotus_recon.training.config import SetConfig, TrainConfig, UNetSize, VaeSize
from lotus_recon.training.data import Batches
from pipelines import train
from pipelines.command_line import DONE, FAILED, parse

RECIPES = sorted(path.stem for path in (Path(__file__).parents[2] / "configs/train").glob("*.yaml"))
PUBLISHED = {"lotus-depth-d": 4000, "lotus-depth-g": 10000, "lotus-normal-d": 4000, "lotus-normal-g": 10000}


def parsed(*argv: str) -> TrainConfig:
    return parse(
        lambda options: train.Arguments(options=options), TrainConfig(), "train", argv, (UNetSize, VaeSize)
    ).options


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_load(name: str) -> None:
    config = parsed("--config", name)
    assert config.data.sets


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes(name: str) -> None:
    config = parsed("--config", name)
    _, task, mode = name.split("-")
    assert (config.objective.tasks, config.start.mode) == ([task], mode.upper())
    assert (config.loop.steps, config.loop.total_batch) == (PUBLISHED[name], 128)
    assert config.optimizer.learning_rate == 3e-5
    assert [(s.kind, s.probability, s.width, s.height) for s in config.data.sets] == [
        ("hypersim", 0.9, 768, 576),
        ("vkitti2", 0.1, 1216, 352),
    ]


def test_command_line_wins_over_the_recipe() -> None:
    config = parsed("--config", "lotus-depth-d", "--steps", "7", "--sets", "[{kind: folder, root: some/where}]")
    assert config.loop.steps == 7
    assert config.data.sets == [SetConfig(kind="folder", root=Path("some/where"))]
    assert config.optimizer.warmup_steps == 0
    assert parsed("--unet", "{layers_per_block: 5}").start.unet == UNetSize(layers_per_block=5)


def test_help_is_fast_and_shows_every_option() -> None:
    code = (
        "import sys; import pipelines.train as p\n"
        "try: p.run(['--help-all'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'open3d', 'scipy', 'cv2', 'accelerate') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"
    sizes = {name for kind in (UNetSize, VaeSize) for name in fields_of(kind)}
    for flag in {option.flag[2:] for option in leaf_options(TrainConfig) if option.name not in sizes} | {"unet", "vae"}:
        assert re.search(rf"^  --(\[no-\])?{flag}( |$)", result.stdout, re.MULTILINE), flag


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A user's folder: six photos of a slanted plane."""
    root = tmp_path / "data"
    random = np.random.default_rng(0)
    depth_mm = np.broadcast_to(np.linspace(1000, 3000, 48)[:, None], (48, 64)).astype(np.uint16)
    for number in range(6):
        write_png(root / f"rgb/{number}.png", random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        write_png(root / f"depth/{number}.png", depth_mm)
    (root / "dataset.yaml").write_text("depth_unit_m: 0.001\n")
    return root


def tiny(data: Path, **loop: object) -> Path:
    """A configuration that trains a tiny Lotus from scratch."""
    sets = f"[{{kind: folder, root: {data}, width: 64, height: 48}}]"
    options = {"steps": 2, "total_batch": 2, "checkpoint_every": 1, "tracker": "none", **loop}
    file = data.parent / "tiny.yaml"
    file.write_text(
        "start:\n"
        "  unet: {block_out_channels: [32, 64], layers_per_block: 1, cross_attention_dim: 32}\n"
        "  vae: {block_out_channels: [32, 32, 32, 32]}\n"
        f"data: {{sets: {sets}, validation: {sets}, validation_samples: 2}}\n"
        f"loop: {{{', '.join(f'{name}: {value}' for name, value in options.items())}}}\n"
        "processing_res: 64\n"
    )
    return file


def test_trains_and_goes_on(data: Path, tmp_path: Path) -> None:
    from lotus_recon.models import load_model

    common = ("--config", str(tiny(data)), "--out", str(tmp_path / "out"))
    assert train.run(common) == DONE
    assert train.run([*common, "--steps", "3"]) == DONE
    log = (tmp_path / "out/log.txt").read_text()
    assert "resuming after step 2 of 3" in log
    assert "step 3 of 3: loss" in log
    prediction = load_model(str(tmp_path / "out/model"), device="cpu").predict(np.zeros((48, 64, 3), np.uint8))
    assert prediction.depth is not None
    assert prediction.depth.values.shape == (48, 64)
    with pytest.raises(InputError, match=r"optimizer.learning_rate: 3e-05 -> 0.1"):
        train.run([*common, "--steps", "3", "--learning-rate", "0.1"])


def test_a_dry_run_tells_what_a_run_will_take(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--config", str(tiny(data, steps=6, checkpoint_every=3, log_every=1)), "--out", str(tmp_path / "out"))
    assert train.run([*common, "--dry-run", "--quiet"]) == DONE
    told = capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert (words := re.search(r"6 steps of ([\d.]+) s: about .* ([\d.]+) GB of disk", told))
    started = time.monotonic()
    assert train.run(common) == DONE
    assert float(words[1]) < (time.monotonic() - started) / 2, "a step is a small part of six, and of all around them"
    kept = sum(path.stat().st_size for path in (tmp_path / "out/checkpoints").rglob("*.pt"))
    assert float(words[2]) == pytest.approx(kept / 1e9, abs=0.006)
    assert train.run([*common, "--dry-run", "--quiet"]) == DONE
    assert "everything is up to date" in capsys.readouterr().out


def test_fails_with_status_1_during_the_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(state: object, handle: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    assert train.run(["--config", str(tiny(data)), "--out", str(tmp_path / "out")]) == FAILED
    assert "checkpoint after step 1 could not be written" in capsys.readouterr().err


def test_a_broken_photo_is_skipped_and_many_are_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_photo(number: int) -> None:
        (data / f"rgb/{number}.png").write_bytes((data / f"rgb/{number}.png").read_bytes()[:60])

    for number in range(6, 100):
        for kind in ("rgb", "depth"):
            shutil.copy(data / kind / "5.png", data / kind / f"{number}.png")
    config = tiny(data, steps=4, checkpoint_every=2)
    drawn = [name for step in drawn_names(config, 4) for name in step]
    break_photo(int(drawn[2]))
    command = ["--config", str(config), "--validation", "[]"]
    assert train.run([*command, "--out", str(tmp_path / "one")]) == DONE
    log = (tmp_path / "one/log.txt").read_text()
    assert f"skipping {drawn[2]} of {data}: {data / f'rgb/{drawn[2]}.png'} cannot be read" in log
    assert f"1 samples could not be used and were skipped: {drawn[2]} of {data}" in log
    for name in drawn[3:5]:
        break_photo(int(name))
    assert train.run([*command, "--out", str(tmp_path / "many")]) == FAILED
    said = capsys.readouterr().err
    assert " of its 100 samples cannot be used; allowed: 1%" in said
    assert all(f"rgb/{name}.png cannot be read" in said for name in drawn[2:4])


def drawn_names(file: Path, steps: int) -> list[tuple[str, ...]]:
    """Names of the samples of each step of a run."""
    config = load_config(TrainConfig, file)
    batches = Batches(config.data, config.objective, config.seed, config.loop.total_batch)
    return [tuple(name for batch in step for name in batch.names) for step in batches.run(0, steps)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "lotus-depth"], r"no such file, and no recipe; did you mean 'lotus-depth-[dg]'"),
        (["--config", "none.yaml"], r"none.yaml cannot be read"),
        (["--sets", "[{kind: rooms, rot: x}]"], r"--sets: unknown key '\[0\]\.rot'"),
        ([], r"data.sets is empty"),
        (["--sets", "[{kind: rooms, width: 100}]"], r"100x576; allowed: multiples of 8"),
        (["--sets", "[{kind: folder, root: nowhere}]"], r"nowhere"),
        (["--sets", "[{kind: rooms}]", "--total-batch", "0"], r"--total-batch 0: must be a whole number, from 1"),
        (
            ["--sets", "[{kind: rooms}]", "--total-batch", "9", "--accumulation", "2"],
            r"total_batch 9 .*a multiple of 2",
        ),
        (["--prediction-type", "epsilon"], r"start.mode D does not have"),  # before the data are looked at
    ],
)
def test_refused_before_anything_is_written(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        train.run([*arguments, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown option --stepz; did you mean --steps"):
        train.run(["--stepz", "3", "--out", str(tmp_path / "out")])
