"""Acceptance of the adaptation: depth and meshes of the network as it came, and as it learnt the scene."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from lotus_recon.adaptation.results import AdaptationResult
from lotus_recon.datasets import dtu_omnidata, hololens
from lotus_recon.evaluation.metrics import point_to_mesh_distance
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.points import seen_points
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.meshes import read_mesh
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE
from lotus_recon.types import View
from tests.acceptance.command import ROOT
from tests.acceptance.mesh_runs import Run, exact_depth, reconstructed
from tests.acceptance.mvs_rows import ROOMS, given_points
from tests.acceptance.rows import Row
from tests.acceptance.walks import write_walk

_STAGE = "adaptation"
_FAR_PX = 24.0  # from any sparse point that was used
DepthOf = Callable[[View], NDArray[np.float64]]  # (H, W) true depth of a view, 0 where unknown


@dataclass(frozen=True)
class Pair:
    """A run without adaptation, continued with it: the stages before are the same."""

    before: Run
    after: Run

    @classmethod
    def of(cls, name: str, photos: Path, work: Path, *options: str, only: str = "") -> Pair:
        """Run the pipeline without adaptation; copy its output, and continue there with it, or ``only`` with it."""
        options = (*options, "--no-texture")
        before = reconstructed(name, photos, work / "off", *options, "--adapt", "off")
        shutil.copytree(before.out, work / "on/out", copy_function=os.link)
        alone = ("--only", only) if only else ()
        return cls(before, reconstructed(name, photos, work / "on", *options, "--adapt", "on", *alone))

    @property
    def result(self) -> AdaptationResult:
        """What the adaptation says of itself."""
        return AdaptationResult.load(self.after.out / "adaptation")

    @property
    def aligned_dir(self) -> Path:
        """The aligned depth that counts: of the adapted network, or as it came where that was refused."""
        return self.result.aligned_dir if self.result.adapted else self.after.out / "alignment"

    def held_out_row(self) -> Row:
        """The error at the points that no stage used, before and after."""
        result = self.result
        before, after = result.held_out_before, result.held_out_after
        shown = "refused" if not result.adapted else f"{before:.2%} -> {after:.2%}"
        is_ok = not result.adapted or (before is not None and after is not None and after <= before)
        stage = json.loads((self.after.out / "adaptation/stage.json").read_text())
        return Row(self.after.name, "held-out error of aligned depth", shown, "not worse", is_ok, stage["seconds"])

    def depth_errors(self, folder: Path, depth_of: DepthOf) -> tuple[float, float]:
        """Mean relative error of the maps in a folder, over all pixels and over those far from sparse points."""
        scene, held = self.after.scene, self.after.held_out()
        every, far = [], []
        for index, view in enumerate(scene.views):
            file = folder / f"{view.stem}.npz"
            if not file.is_file():
                continue
            xy, _ = seen_points(scene, index, ~held)
            maps, truth = load_arrays(file), depth_of(view)
            known = maps["depth_valid"] & (truth > 0)
            error = np.abs(maps["depth"] / np.where(known, truth, 1) - 1)
            free = np.ones(truth.shape, bool)
            free[pixel_index(xy, *truth.shape)] = False
            every.append(error[known].mean())
            far.append(error[known & (distance_transform_edt(free) > _FAR_PX)])
        return float(np.mean(every)), float(np.concatenate(far).mean())

    def depth_row(self, depth_of: DepthOf, asked: tuple[float, float]) -> Row:
        """Errors of aligned depth before and after, against what is asked."""
        before, after = (
            self.depth_errors(folder, depth_of) for folder in (self.before.out / "alignment", self.aligned_dir)
        )
        figure = f"AbsRel of aligned depth: all pixels; > {_FAR_PX:g} px from points"
        shown = f"{before[0]:.4f} -> {after[0]:.4f}; {before[1]:.4f} -> {after[1]:.4f}"
        is_ok = after[0] <= asked[0] and after[1] <= asked[1]
        return Row(self.after.name, figure, shown, f"<= {asked[0]:g}; <= {asked[1]:g}", is_ok)


def sample(work: Path) -> list[Row]:
    """The rendered sample at given poses, against its exact surface."""
    data = ROOT / "data/sample"
    truth = read_mesh(data / "truth/mesh.ply")
    poses = str(data / "truth/transforms.json")
    pair = Pair.of("sample, adapted", data / "images", work, "--poses", poses, only=_STAGE)

    def depth_of(view: View) -> NDArray[np.float64]:
        exact = exact_depth(view, truth)
        return np.where(exact.valid, exact.values, 0).astype(np.float64)

    seconds = json.loads((pair.after.out / "adaptation/stage.json").read_text())["seconds"]
    return [
        pair.depth_row(depth_of, (0.013, 0.035)),
        pair.held_out_row(),
        Row(pair.after.name, "the stage, 18 photos of 640x480", f"{seconds:.0f} s", "<= 180 s", seconds <= 180),
    ]


def hololens_adapted(data: Path, work: Path) -> list[Row]:
    """Weak texture indoors, real photos, against the sensor's depth."""
    poses = work / "transforms.json"
    hololens.write_poses(data, poses)
    pair = Pair.of("hololens_a, adapted", data / "images", work, "--poses", str(poses), "--pose-unit", "m", only=_STAGE)

    def depth_of(view: View) -> NDArray[np.float64]:
        depth, seen = hololens.sensor_depth(data, view.name)
        return np.where(seen, depth, 0).astype(np.float64)

    aligned = sum((pair.aligned_dir / f"{view.stem}.npz").is_file() for view in pair.after.scene.views)
    return [
        pair.depth_row(depth_of, (0.080, 0.110)),
        Row(pair.after.name, "views with aligned depth", f"{aligned} of 47", "47", aligned == 47),
        pair.held_out_row(),
    ]


def rooms_adapted(work: Path) -> list[Row]:
    """Walks through rooms with exact truth: the mesh, and the depth that photos do not decide."""
    walks = [_room(number, work / f"room_{number:02d}") for number in range(ROOMS)]
    before, after, plain_before, plain_after = np.array(walks).T
    fall, plain_fall = 1 - after.mean() / before.mean(), 1 - plain_after.mean() / plain_before.mean()
    worst = float((after / before - 1).max())
    mesh = f"{before.mean():.1f} -> {after.mean():.1f} mm: {fall:.0%} less"
    plain = f"{plain_before.mean():.1%} -> {plain_after.mean():.1%}: {plain_fall:.0%} less"
    name = "rooms, adapted"
    return [
        Row(name, f"mesh to true surface, mean of {ROOMS}", mesh, ">= 35 % less", fall >= 0.35),
        Row(name, "the room that changes least for the better", f"{worst:+.0%}", "<= +5 %", worst <= 0.05),
        Row(name, "depth error of pixels that photos do not decide", plain, ">= 40 % less", plain_fall >= 0.40),
    ]


def _room(number: int, work: Path) -> tuple[float, float, float, float]:
    """Mean distance of the mesh in millimetres, and mean error of depth that photos do not decide, before and after."""
    write_walk(number, work)
    options = ("--poses", str(work / "transforms.json"), "--pose-unit", "m")
    pair = Pair.of("rooms, adapted", work / "images", work, *options)
    truth = read_mesh(work / "mesh.ply")
    distances = [
        1000 * float(np.mean(point_to_mesh_distance(run.mesh.vertices, truth))) for run in (pair.before, pair.after)
    ]
    errors = [_undecided_error(pair, pair.after.out / stage, work / "truth") for stage in ("mvs", "adaptation")]
    shutil.rmtree(work / "off")
    return distances[0], distances[1], errors[0], errors[1]


def _undecided_error(pair: Pair, folder: Path, truth_dir: Path) -> float:
    """Mean relative error of the maps in a folder where photos decide nothing."""
    errors = []
    for view in pair.after.scene.views:
        if not (folder / f"{view.stem}.npz").is_file():
            continue
        maps, truth = load_arrays(folder / f"{view.stem}.npz"), load_arrays(truth_dir / f"{view.stem}.npz")
        undecided = maps["depth_valid"] & truth["valid"] & (maps["confidence"] <= FILLED_CONFIDENCE)
        errors.append(np.abs(maps["depth"][undecided] / truth["depth"][undecided] - 1))
    return float(np.concatenate(errors).mean())


def dtu_adapted(data: Path, work: Path) -> list[Row]:
    """nano as it learnt the scene, beside the stored cues of a large network, at the same 17 photos."""
    names = sorted(f"{path.stem}.png" for path in (data / "cues").glob("*.npz"))
    photos = work / "photos"
    photos.mkdir()
    for name in names:
        (photos / name).symlink_to(data / "images" / name)
    scene, held, given = given_points(data / "colmap_gt", names, work)
    pair = Pair.of("dtu24, adapted", photos, work, "--poses", str(given))
    dtu_omnidata.write_predictions(data, work / "predictions")
    stored = ("--model", "precomputed", "--predictions", str(work / "predictions"))
    cues = reconstructed("dtu24, stored cues", photos, work / "cues", "--poses", str(given), *stored)
    adapted, with_cues = (
        np.percentile(point_to_mesh_distance(scene.points.xyz[held], run.mesh), [50, 90]) for run in (pair.after, cues)
    )
    ratios = adapted / with_cues
    shown = f"{adapted[0]:.2f} / {adapted[1]:.2f} mm; with cues {with_cues[0]:.2f} / {with_cues[1]:.2f}"
    figure = f"{int(held.sum())} unseen points to mesh, median / p90"
    asked = "<= 1.25 times that with the stored cues"
    return [Row(pair.after.name, figure, shown, asked, bool((ratios <= 1.25).all())), pair.held_out_row()]


def fountain_adapted(data: Path, work: Path) -> list[Row]:
    """Outdoors, far from what nano was trained on."""
    scene, held, given = given_points(data / "colmap_gt", None, work)
    pair = Pair.of("fountain, adapted", data / "images", work, "--poses", str(given))
    before, after = (
        1000 * float(np.percentile(point_to_mesh_distance(scene.points.xyz[held], run.mesh), 90))
        for run in (pair.before, pair.after)
    )
    figure = f"{int(held.sum())} unseen points to mesh, p90"
    return [
        Row(pair.after.name, figure, f"{before:.2f} -> {after:.2f} mm", "<= 10 mm", after <= 10),
        pair.held_out_row(),
    ]


def untouched(name: str, data: Path, work: Path) -> list[Row]:
    """Photos that adaptation was never tuned on; reduced, which is a third of the time."""
    return [Pair.of(f"{name}, adapted", data / "images", work, "--max-size", "640", only=_STAGE).held_out_row()]


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {
    "sample-adapted": (".", lambda _, work: sample(work)),
    "hololens-adapted": ("hololens_a", hololens_adapted),
    "rooms-adapted": (".", lambda _, work: rooms_adapted(work)),
    "dtu-adapted": ("dtu_scan24_omnidata", dtu_adapted),
    "fountain-adapted": ("fountain_p11", fountain_adapted),
    **{
        f"{folder.split('_')[0]}-adapted": (folder, lambda data, work, name=folder: untouched(name, data, work))  # type: ignore[misc]
        for folder in ("castle_p11", "lund_door", "tree_p24")
    },
}
