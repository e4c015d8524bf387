"""Where the stage stands: for models with a network, after stereo; what follows reads its depth."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from lotus_recon.adaptation.config import AdaptationConfig
from lotus_recon.adaptation.networks import why_not
from lotus_recon.adaptation.spec import ADAPTATION
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.errors import InputError
from lotus_recon.models.base import ModelOptions
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.lotus.checkpoints import ANNOTATION, METADATA_FILE, Metadata, write_metadata
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.recipes.config import MultiViewConfig
from lotus_recon.recipes.table import DEPTH_STAGES, MULTI_VIEW
from lotus_recon.reporting.spec import REPORT
from lotus_recon.scene_job import SceneJob
from lotus_recon.stages import reads_of, stages_of
from pipelines.multi_view import run
from tests.models.toys import write_checkpoint
from tests.recipes.scenes import write_scene


@pytest.mark.parametrize(
    ("adapt", "predictions", "align", "expected"),
    [
        ("auto", None, "auto", True),
        ("on", None, "auto", True),
        ("off", None, "auto", False),
        ("on", Path("maps"), "auto", False),
        ("on", None, "none", False),
    ],
)
def test_which_jobs_have_it(
    adapt: Literal["auto", "on", "off"],
    predictions: Path | None,
    align: Literal["auto", "none"],
    expected: bool,
    tmp_path: Path,
) -> None:
    config = MultiViewConfig(
        prediction=PredictionConfig(predictions=predictions),
        alignment=AlignmentConfig(align=align),
        adaptation=AdaptationConfig(adapt=adapt),
    )
    stages = stages_of(MULTI_VIEW, SceneJob(tmp_path, tmp_path / "out", config, None))
    assert (ADAPTATION in stages) == expected
    for reader in (CONSISTENCY, REPORT):
        assert (ADAPTATION in reads_of(reader, stages)) == expected
    assert ADAPTATION in (INTEGRATION.reads or ())
    assert "adaptation" in DEPTH_STAGES


def test_asking_for_it_with_stored_maps_is_an_error(tmp_path: Path) -> None:
    arguments = write_scene(tmp_path).arguments("--only", "adaptation")
    with pytest.raises(InputError, match="--only adaptation: this run has no such stage; it needs --adapt auto or on"):
        run(arguments)


def test_a_model_of_several_steps_is_refused_before_any_work(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "slow", in_channels=8)
    metadata = Metadata({"depth": ANNOTATION}, "disparity", "G", timesteps="uniform", inference_steps=4)
    write_metadata(metadata, folder / METADATA_FILE)
    scene = write_scene(tmp_path / "scene")
    posed = [str(scene.photos), "--out", str(tmp_path / "out"), "--poses", str(scene.poses), "--model", str(folder)]
    with pytest.raises(InputError, match="--adapt on: --model .* cannot learn: it predicts in 4 steps"):
        run([*posed, "--adapt", "on"])
    assert not (tmp_path / "out/sfm").exists()
    assert why_not("nano", ModelOptions()) == ""
