"""The output folder of multi_view whose results are scored: is it one, and are they results of its last run."""

from __future__ import annotations

from pathlib import Path

from lotus_recon.config import load_config
from lotus_recon.errors import InputError
from lotus_recon.io.cameras import is_colmap_model
from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config
from lotus_recon.scene_job import SceneJob
from lotus_recon.stages import stages_of
from lotus_recon.workspace import Workspace


def check_is_run(scene: Path) -> None:
    """Raise InputError unless ``scene`` is an output folder of multi_view that has cameras."""
    if not is_colmap_model(scene / "sfm" / "sparse"):
        what = "has no sfm/sparse" if scene.is_dir() else "is no folder"
        raise InputError(
            f"--scene {scene} {what}: it must be the output folder (--out) of pipelines.multi_view, not one of photos"
        )


def check_is_wanted(scene: Path, stage: str) -> None:
    """Raise InputError when the options of the last run leave ``stage`` out: its files are those of an earlier run."""
    file = Workspace(scene).config_file
    if file.is_file():
        job = SceneJob(scene, scene, load_config(multi_view_config(), file))
        if all(wanted.name != stage for wanted in stages_of(MULTI_VIEW, job)):
            needs = next(known.wanted_with for known in MULTI_VIEW if known.name == stage)
            raise InputError(
                f"--stage {stage}: the last run in {scene} has no such stage (it needs {needs}); what lies in "
                f"{scene / stage} is of an earlier one"
            )
