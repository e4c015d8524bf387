"""The task rays: a mesh against what cameras saw, at held-out sparse points, at a COLMAP model or at depth maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import RaysConfig
from lotus_recon.evaluation.holdout import HeldOut, read_holdout
from lotus_recon.evaluation.rays import (
    TEXTURES,
    RayShares,
    VisiblePoints,
    depth_points,
    hit_ratios,
    observed_points,
    ray_shares,
    texture_classes,
)
from lotus_recon.evaluation.run_folder import check_is_run
from lotus_recon.evaluation.surface_inputs import read_posed_maps
from lotus_recon.evaluation.tables import markdown
from lotus_recon.io.cameras import is_colmap_model, read_colmap_scene
from lotus_recon.io.images import read_rgb
from lotus_recon.io.meshes import read_mesh
from lotus_recon.progress import track
from lotus_recon.types import Mesh, Scene, View
from lotus_recon.workspace import write_atomically, write_json

_OUTCOMES = ("met", "blocked", "behind", "none")


@dataclass(frozen=True, eq=False)
class RaysJob:
    """The two sides, read and checked."""

    config: RaysConfig
    mesh: Mesh
    names: tuple[str, ...]  # of the views
    visible: VisiblePoints
    against: str  # description of the visible points


def check_job(config: RaysConfig, held_out: HeldOut) -> RaysJob:
    """Read both sides. Raises InputError for missing options, and for files that cannot be used."""
    if config.mesh is None and config.scene is None:
        raise InputError("rays needs --scene, an output folder of multi_view, or --mesh")
    if config.reference is None and config.scene is None:
        raise InputError("rays needs --scene, whose held-out points are compared, or --reference")
    if config.scene is not None:
        check_is_run(config.scene)
    mesh = read_mesh(config.mesh or _mesh_of(config.scene))
    if config.reference is not None and not is_colmap_model(config.reference):
        return _against_maps(config, mesh)
    return _against_points(config, mesh, held_out)


def _mesh_of(scene: Path | None) -> Path:
    assert scene is not None  # by check_job
    path = scene / "mesh" / "mesh.ply"
    if not path.is_file():
        raise InputError(f"--scene {scene} has no mesh/mesh.ply yet: run the stage mesh first, or give --mesh")
    return path


def _against_maps(config: RaysConfig, mesh: Mesh) -> RaysJob:
    assert config.reference is not None  # by check_job
    poses = config.reference_poses or config.scene
    if poses is None:
        raise InputError(f"{config.reference} is a folder of depth maps: --reference-poses must name their cameras")
    maps = read_posed_maps(config.reference, poses)
    parts = [
        depth_points(view, index, depth, config.samples, _texture(config, view))
        for index, (view, depth) in enumerate(track(maps, "reading reference", len(maps)))
    ]
    names = tuple(view.name for view, _ in maps)
    return RaysJob(config, mesh, names, VisiblePoints.joined(parts), "depth maps")


def _against_points(config: RaysConfig, mesh: Mesh, held_out: HeldOut) -> RaysJob:
    if config.reference is not None:
        scene, against = read_colmap_scene(config.reference), "points of a COLMAP model"
        chosen = np.ones(len(scene.points.xyz), bool)
    else:
        assert config.scene is not None  # by check_job
        scene = read_colmap_scene(config.scene / "sfm/sparse")
        share, seed, strict = read_holdout(config.scene)
        chosen = held_out(scene, share, seed)
        against = f"held-out points ({'strict' if strict else 'used by later stages'})"
        if not chosen.any():
            raise InputError(f"no point of {config.scene} was held out (holdout {share} of {len(chosen)} points)")
    parts = [observed_points(scene, index, chosen, _texture(config, view)) for index, view in _seeing(scene, chosen)]
    return RaysJob(config, mesh, tuple(view.name for view in scene.views), VisiblePoints.joined(parts), against)


def _seeing(scene: Scene, chosen: NDArray[np.bool_]) -> list[tuple[int, View]]:
    """The views that observe a chosen point, with their index."""
    indices = np.unique(scene.points.obs_view[chosen[scene.points.obs_point]])
    return [(int(index), scene.views[index]) for index in indices]


def _texture(config: RaysConfig, view: View) -> NDArray[np.int64] | None:
    folder = config.images or (config.scene / "images" if config.scene is not None else None)
    path = None if folder is None else folder / view.name
    if path is None or not path.is_file():
        return None
    rgb = read_rgb(path)
    if rgb.shape[1::-1] != view.camera.size:
        raise InputError(f"{path} is {rgb.shape[1]}x{rgb.shape[0]}, its camera {view.camera.size}: must agree")
    return texture_classes(rgb.astype(np.float64).mean(-1))


def run_job(job: RaysJob, out: Path) -> dict[str, list[RayShares]]:
    """Cast, count, write ``summary.json``, ``views.json`` and ``table.md``; the shares of all rays and by texture."""
    ratios, tolerances = hit_ratios(job.mesh, job.visible), job.config.tolerances
    groups = {"all": np.ones(len(ratios), bool)} | {
        f"texture: {name}": which
        for number, name in enumerate(TEXTURES)
        if (which := job.visible.texture == number).any()
    }
    scores = {name: [ray_shares(ratios[which], t) for t in tolerances] for name, which in groups.items()}
    views = {
        name: _by_tolerance([ray_shares(ratios[which], t) for t in tolerances], tolerances)
        for index, name in enumerate(job.names)
        if (which := job.visible.view == index).any()
    }
    write_json(out / "views.json", views)
    write_json(
        out / "summary.json",
        {
            "task": "rays",
            "against": job.against,
            "unit": "share of rays, in [0, 1]; tolerances relative to the distance of the point",
            "scores": {name: _by_tolerance(shares, tolerances) for name, shares in scores.items()},
            "worst_views": _worst(views, str(tolerances[0])),
            "protocol": job.config,
            "version": __version__,
        },
    )
    text = "\n".join(_table(job, scores)) + "\n"
    write_atomically(out / "table.md", lambda part: part.write_text(text, encoding="utf-8"))
    return scores


def _by_tolerance(shares: list[RayShares], tolerances: list[float]) -> dict[str, dict[str, Any]]:
    return {str(tolerance): asdict(share) for tolerance, share in zip(tolerances, shares, strict=True)}


def _worst(views: Mapping[str, Mapping[str, Mapping[str, float]]], tolerance: str, count: int = 5) -> list[str]:
    return sorted(views, key=lambda name: views[name][tolerance]["met"])[:count]


def _table(job: RaysJob, scores: Mapping[str, list[RayShares]]) -> list[str]:
    rows = [
        [name, str(share.rays), f"{tolerance:.2%}", *(f"{getattr(share, outcome):.2%}" for outcome in _OUTCOMES)]
        for name, shares in scores.items()
        for tolerance, share in zip(job.config.tolerances, shares, strict=True)
    ]
    return markdown([f"rays to {job.against}", "rays", "tolerance", *_OUTCOMES], rows)
