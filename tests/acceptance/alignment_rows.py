"""Alignment and consistency at the given poses: what they reach, apart from what structure from motion does.

``python -m tests.acceptance.alignment_rows [DATA]``, DATA being the folder of the data sets.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lotus_recon.alignment import stage as alignment
from lotus_recon.alignment.anchors import held_out_points
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.results import AlignmentResult
from lotus_recon.config import Runtime
from lotus_recon.consistency import stage as consistency
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.datasets import dtu_omnidata, hololens
from lotus_recon.evaluation.metrics import mesh_metrics, point_to_mesh_distance
from lotus_recon.fusion import stage as fusion
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import list_photos, read_rgb
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.sfm import stage as sfm
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.types import Mesh, Scene
from tests.acceptance.plain_tsdf import plain_tsdf
from tests.acceptance.rows import Row, print_rows
from tests.conftest import SHARED

DTU = "dtu_scan24_omnidata, given poses"
HOLOLENS = "hololens_a, stages alone"
RUNTIME = Runtime(device="cpu")
# Both meshes of hololens_a end at the same depth; fusion counts it in median depths.
MAX_DEPTH_M, MEDIAN_DEPTH_M = 6.0, 2.1


def dtu_rows(data: Path) -> list[Row]:
    """The maps of another network against points that no step has used."""
    source = data / "dtu_scan24_omnidata"
    scene = read_colmap_scene(source / "colmap_gt")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        dtu_omnidata.write_predictions(source, work / "prediction")
        started = time.monotonic()
        result = _aligned_and_checked(scene, AlignmentConfig(holdout_strict=True), work)
        seconds = time.monotonic() - started
        mesh = _fused(scene, source / dtu_omnidata.PHOTOS, FusionConfig(), work)
    distance_mm = point_to_mesh_distance(_unseen_points(scene, result.usable), mesh)
    median, p90 = np.percentile(distance_mm, [50, 90])
    before, after = result.medians.median_before, result.medians.median_after
    assert before is not None
    assert after is not None
    what = f"{len(distance_mm)} unseen points to mesh"
    return [
        Row(DTU, "aligned views", f"{len(result.usable)}", "17", len(result.usable) == 17, seconds),
        Row(DTU, "held-out error, global fit", f"{before:.2%}", "<= 1.1 %", before <= 0.011),
        Row(DTU, "held-out error, local correction", f"{after:.2%}", "<= 0.3 %", after <= 0.003),
        Row(DTU, f"{what}, median", f"{median:.2f} mm", "<= 0.9 mm", bool(median <= 0.9)),
        Row(DTU, f"{what}, p90", f"{p90:.2f} mm", "<= 2.7 mm", bool(p90 <= 2.7)),
    ]


def hololens_rows(data: Path) -> list[Row]:
    """Sensor depth with its scale and shift taken away, against the sensor depth."""
    source = data / "hololens_a"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        hololens.write_predictions(source, work / "prediction")
        hololens.write_poses(source, work / "transforms.json")
        (work / "sfm").mkdir()
        photos = sfm.Inputs(list_photos(source / hololens.PHOTOS), {}, RUNTIME)
        scene = sfm.run(photos, SfmConfig(poses=work / "transforms.json"), work / "sfm").scene
        started = time.monotonic()
        result = _aligned_and_checked(scene, AlignmentConfig(), work)
        seconds = time.monotonic() - started
        errors = [_depth_error(source, result, name) for name in result.usable]
        mesh = _fused(
            scene,
            source / hololens.PHOTOS,
            FusionConfig(voxel_size=0.02, max_fused_depth=MAX_DEPTH_M / MEDIAN_DEPTH_M),
            work,
        )
    metrics = mesh_metrics(mesh, _sensor_mesh(source), 0.05)
    score = metrics["fscore"]
    scores = f"{score:.3f} (precision {metrics['precision']:.3f}, recall {metrics['recall']:.3f})"
    median = float(np.median(errors))
    asked = f"{len(errors)} of {len(scene.views)}"
    return [
        Row(HOLOLENS, "aligned views", asked, "", None, seconds),
        Row(HOLOLENS, "relative depth error, median of views", f"{median:.2%}", "<= 1 %", median <= 0.01),
        Row(HOLOLENS, "relative depth error, worst view", f"{max(errors):.2%}", "", None),
        Row(HOLOLENS, "F-score at 5 cm", scores, ">= 0.90", score >= 0.90),
    ]


def _aligned_and_checked(scene: Scene, config: AlignmentConfig, work: Path) -> AlignmentResult:
    for folder in ("alignment", "consistency", "fusion"):
        (work / folder).mkdir()
    result = alignment.run(alignment.Inputs(scene, work / "prediction", RUNTIME), config, work / "alignment")
    inputs = consistency.Inputs(scene, work / "alignment", RUNTIME)
    consistency.run(inputs, ConsistencyConfig(), work / "consistency")
    return result


def _fused(scene: Scene, photos: Path, config: FusionConfig, work: Path) -> Mesh:
    inputs = fusion.Inputs(scene, work / "consistency", photos, RUNTIME)
    return read_mesh(fusion.run(inputs, config, work / "fusion").mesh_path)


def _unseen_points(scene: Scene, views: Sequence[str]) -> np.ndarray:
    """(N, 3) held-out points that two or more of ``views`` see."""
    held = held_out_points(scene, AlignmentConfig().holdout, RUNTIME.seed)
    among = np.isin(scene.points.obs_view, [scene.index[name] for name in views])
    seen = np.bincount(scene.points.obs_point[among], minlength=len(held))
    return scene.points.xyz[held & (seen >= 2)]


def _depth_error(source: Path, result: AlignmentResult, name: str) -> float:
    aligned = load_prediction(result.depth_file(name)).depth
    assert aligned is not None
    depth, seen = hololens.sensor_depth(source, name)
    both = seen & aligned.valid
    return float(np.median(np.abs(aligned.values[both] / depth[both] - 1)))


def _sensor_mesh(source: Path) -> Mesh:
    maps = []
    for frame in hololens.frames(source):
        depth, seen = hololens.sensor_depth(source, frame.view.name)
        maps.append((frame.view, np.where(seen, depth, 0), read_rgb(frame.photo)))
    return plain_tsdf(maps, voxel_size=0.02, max_depth=MAX_DEPTH_M)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "data"
    print_rows([*dtu_rows(folder), *hololens_rows(folder)])
