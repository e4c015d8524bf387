"""The ablation: variants as training takes them, a whole run in small, and its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.config import RoomsConfig
from lotus_recon.synthetic.rooms.writing import make_rooms
from lotus_recon.training.ablation import running
from lotus_recon.training.ablation.config import VARIANTS, AblationConfig, Variant
from lotus_recon.training.ablation.measuring import Score, blind_error, coding_error, steps_of, validation_photos
from lotus_recon.training.ablation.training import training_config
from lotus_recon.training.ablation.vae import load_vae
from lotus_recon.training.config import UNetSize, VaeSize
from lotus_recon.training.objective import check_objective
from pipelines.ablation import run


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms of three photos; the first is for validation."""
    root = tmp_path_factory.mktemp("rooms")
    options = RoomsConfig(
        scenes=2, views=3, size="64x48", renderer="raycast", catalog="procedural", mesh=False, workers=1
    )
    make_rooms(root, options)
    return root


def tiny(rooms: Path) -> AblationConfig:
    return AblationConfig(
        rooms=rooms, width=48, height=32, seeds=1, vae_steps=4, steps=2, batch=2, photos=2, noises=2,
        inference_steps=[1, 2], unet=UNetSize([16, 16], 1, 16, 8), vae=VaeSize([8, 16], 1),
    )  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_training_takes_every_variant(variant: Variant) -> None:
    check_objective(training_config(AblationConfig(), variant, 0, Path("start")))


def test_only_networks_trained_for_many_steps_take_many() -> None:
    many = [variant.name for variant in VARIANTS if len(steps_of(AblationConfig(), variant)) > 1]
    assert many == ["epsilon-many", "v-many", "x0-many"]


def test_the_table_has_mean_and_deviation_over_trainings() -> None:
    found = [Score(0.1, 0.02), Score(0.3, 0.04)]
    lines = running.table_lines({VARIANTS[0]: {50: found}, VARIANTS[-1]: {1: found}}, blind=0.5, coded=0.05)
    assert "| noise, many steps, G | 50 | 0.200 +- 0.100 | 3.0% |" in lines
    assert "| x0, one step, detail preserver, D | 1 | 0.200 +- 0.100 | 0 (takes none) |" in lines


def test_what_networks_are_compared_with(rooms: Path) -> None:
    """A perfect coder loses nothing but what the truncation of disparity cuts; the mean map is no good map."""
    config = tiny(rooms)
    photos = validation_photos(config)
    coded = coding_error(_Coder(), photos)
    assert coded < 0.01, (coded, blind_error(config, photos))
    assert blind_error(config, photos) > 2 * coded


class _Coder:
    """Encodes and decodes without loss."""

    def encode(self, image: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: image))

    def decode(self, latents: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=latents)


@pytest.mark.slow
def test_a_whole_run_goes_on_where_it_was(
    rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config, out = tiny(rooms), tmp_path / "out"
    table = running.run_job(config, out)
    assert sum(line.startswith("| noise, many steps, G |") for line in table.splitlines()) == 2
    assert len(table.splitlines()) == 4 + 3 * 2 + 6
    assert (out / "steps.png").is_file()
    assert float(load_vae(out / "vae").config["scaling_factor"]) > 0

    def refused(*arguments: object) -> None:
        raise AssertionError("everything is there")

    monkeypatch.setattr("lotus_recon.training.ablation.training.train_vae", refused)
    monkeypatch.setattr("lotus_recon.training.ablation.running.score", refused)
    assert running.run_job(config, out) == table
    with pytest.raises(InputError, match="was begun with other steps"):
        running.check_job(replace(config, steps=3), out)


def test_rooms_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        run(["--rooms", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds files of others"):
        run(["--rooms", str(tmp_path / "none"), "--out", str(tmp_path)])
