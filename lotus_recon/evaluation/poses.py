"""The task poses: estimated camera poses against reference poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import PosesConfig
from lotus_recon.evaluation.metrics import pose_metrics
from lotus_recon.evaluation.pose_files import Poses, match_names, read_poses
from lotus_recon.evaluation.tables import markdown
from lotus_recon.types import FloatArray
from lotus_recon.workspace import write_atomically, write_json

UNITS = {
    "position_rms": "unit of the reference", "position_max": "unit of the reference", "rotation_median_deg": "deg",
    "scale": "reference / prediction", "registered": "share of the reference's photos",
}  # fmt: skip


@dataclass(frozen=True)
class PosesJob:
    """What a run compares; the poses of both sides by the same names."""

    config: PosesConfig
    pred: Poses
    reference: Poses


def check_job(config: PosesConfig) -> PosesJob:
    """Read and match both sides. Raises InputError when one is missing or broken, or fewer than 3 photos match."""
    if config.pred is None or config.reference is None:
        raise InputError("poses needs --pred and --reference")
    pred, reference = read_poses(config.pred), read_poses(config.reference)
    names = match_names(list(pred), list(reference))
    if len(names) < 3:
        raise InputError(f"{len(names)} photos have poses on both sides; 3 or more are needed")
    return PosesJob(config, {names[name]: pose for name, pose in pred.items() if name in names}, reference)


def run_job(job: PosesJob, out: Path) -> dict[str, float]:
    """Score, and write ``summary.json`` and ``table.md``."""
    scores = pose_metrics(job.pred, job.reference)
    scores |= relative_pose_auc(job.pred, job.reference, job.config.auc_deg)
    units = {name: UNITS.get(name, "share") for name in scores}
    write_json(
        out / "summary.json",
        {
            "task": "poses",
            "photos": len(job.reference),
            "matched": len(job.pred),
            "scores": {name: {"value": value, "unit": units[name]} for name, value in scores.items()},
            "protocol": "positions after the least-squares similarity; AUC of max(rotation, direction) over all pairs",
            "version": __version__,
        },
    )
    rows = [[name, units[name], f"{value:.6g}"] for name, value in scores.items()]
    text = "\n".join([*markdown(["score", "unit", "value"], rows), ""])
    write_atomically(out / "table.md", lambda part: part.write_text(text, encoding="utf-8"))
    return scores


def relative_pose_auc(
    pred: Mapping[str, FloatArray], gt: Mapping[str, FloatArray], limits_deg: Sequence[float]
) -> dict[str, float]:
    """``auc_<limit>``: area under the recall of relative poses up to each limit in degrees, divided by the limit.

    Over all pairs of photos of ``gt``, (4, 4) cam_from_world by name; pairs with a photo that ``pred`` lacks fail. The
    error of a pair is the larger of the rotation angle and of the angle between the directions of translation (Sarlin
    et al., SuperGlue, CVPR 2020, section 5.1). Poses have signs, so opposite directions are 180 degrees apart; where
    cameras of ``gt`` share a centre only the rotation counts.
    """
    errors = np.sort(relative_pose_errors_deg(pred, gt))
    return {f"auc_{limit:g}": _area(errors, limit) for limit in limits_deg}


def relative_pose_errors_deg(pred: Mapping[str, FloatArray], gt: Mapping[str, FloatArray]) -> NDArray[np.float64]:
    """Errors in degrees of all pairs of N poses, (M,) with M = N (N - 1) / 2; infinite where ``pred`` lacks a photo.

    ``pred`` and ``gt``: (4, 4) cam_from_world by name. Raises InputError for N < 2.
    """
    names = sorted(gt)
    if len(names) < 2:
        raise InputError(f"relative poses need 2 or more photos; there are {len(names)}")
    both = [name for name in names if name in pred]
    total = len(names) * (len(names) - 1) // 2
    errors = []
    estimated, true = (
        np.stack([poses[name] for name in both]) if both else np.zeros((0, 4, 4)) for poses in (pred, gt)
    )
    for i in range(len(both) - 1):
        errors.append(_pair_errors(estimated[i], estimated[i + 1 :], true[i], true[i + 1 :]))
    finite = np.concatenate(errors) if errors else np.zeros(0)
    return np.concatenate([finite, np.full(total - len(finite), np.inf)])


def _pair_errors(pose: FloatArray, others: FloatArray, true_pose: FloatArray, true_others: FloatArray) -> NDArray:
    """(M,) errors of the pairs of one photo with M others."""
    rotation, translation = _relative(pose, others)
    true_rotation, true_translation = _relative(true_pose, true_others)
    difference = np.einsum("mij,mkj->mik", rotation, true_rotation)
    sine = np.stack([difference[:, 2, 1] - difference[:, 1, 2], difference[:, 0, 2] - difference[:, 2, 0],
                     difference[:, 1, 0] - difference[:, 0, 1]], axis=1)  # fmt: skip
    cosine = (np.trace(difference, axis1=1, axis2=2) - 1) / 2
    rotation_error = np.arctan2(np.linalg.norm(sine, axis=1) / 2, cosine)
    cross = np.linalg.norm(np.cross(translation, true_translation), axis=1)
    direction_error = np.arctan2(cross, (translation * true_translation).sum(1))
    apart = np.linalg.norm(true_translation, axis=1) > 1e-12
    return np.degrees(np.where(apart, np.maximum(rotation_error, direction_error), rotation_error))


def _relative(pose: FloatArray, others: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotations (M, 3, 3) and translations (M, 3) that take camera axes of ``pose`` to those of ``others``."""
    rotation = others[:, :3, :3] @ pose[:3, :3].T
    return rotation, others[:, :3, 3] - rotation @ pose[:3, 3]


def _area(errors: NDArray[np.float64], limit: float) -> float:
    """Area under the piecewise linear recall over sorted errors from 0 to ``limit``, divided by it."""
    recall = np.arange(1, len(errors) + 1) / len(errors)
    below = int(np.searchsorted(errors, limit))
    x = np.concatenate([[0.0], errors[:below], [limit]])
    y = np.concatenate([[0.0], recall[:below], recall[below - 1 : below] if below else [0.0]])
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit)
