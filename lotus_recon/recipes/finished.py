"""The job of a folder that multi_view has written: what it was made from, and with which options."""

from __future__ import annotations

from pathlib import Path

from lotus_recon.config import load_config
from lotus_recon.errors import InputError
from lotus_recon.recipes.config import SceneConfig
from lotus_recon.recipes.output_folder import owner_of
from lotus_recon.recipes.table import multi_view_config
from lotus_recon.scene_job import SceneJob
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.stages import options_of
from lotus_recon.workspace import Workspace


def finished_job(out: Path) -> SceneJob:
    """The job of the last run in an output folder. Its photos may be elsewhere by now.

    Raises InputError when the folder is not one of multi_view.
    """
    source, file = owner_of(out, "scene"), Workspace(out).config_file
    if source is None or not file.is_file():
        what = "does not exist" if not out.exists() else "is not an output folder (--out) of pipelines.multi_view"
        raise InputError(f"{out} {what}")
    config = load_config(multi_view_config(), file)
    scene, poses = options_of(config, SceneConfig), options_of(config, SfmConfig).poses
    return SceneJob(Path(source), out, config, scene.masks, poses, scene.include, scene.exclude)
