"""Options of evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Gt, Interval, Lt, MinLen, Unit

from lotus_recon.limits import BatchSize, CompileMode, Edge, Many, Positive, Seed, Workers
from lotus_recon.options import Options


@dataclass(frozen=True)
class SetConfig(Options):
    """A set to score on."""

    # What it is: nyuv2, kitti, kitti_garg, eth3d, scannet, diode; nyuv2_normals, scannet_normals, ibims_normals,
    # sintel_normals, oasis_normals; hololens, single_images; rooms, hypersim, vkitti2, folder.
    kind: str = "folder"
    # Folder, or tar archive as downloaded. Relative to --data.
    root: Path = Path(".")
    # List of its files, for published sets. Relative to --lists.
    file_list: Path | None = None
    # Which part of a set that can be trained on: train, val or all.
    split: str = "all"
    # Longer edge at which networks work on this set; 0: that of the photo; none: the model's own.
    processing_res: Edge | None = None
    # Only this many photos, the first ones. None: all.
    first: Many | None = None


@dataclass(frozen=True)
class MapsConfig(Options):
    """Options of the tasks depth and normals: what to score, on what, how."""

    # Sets to score on, such as [{kind: folder, root: mine}].
    sets: list[SetConfig] = field(default_factory=list)
    # Folder that the roots of the sets are relative to.
    data: Path = Path(".")
    # Folder that the file lists are relative to; none: that of --data.
    lists: Path | None = None
    # A model of the registry: a name, a Hub id, a folder, or DEPTH,NORMAL.
    model: str = "nano"
    # What a checkpoint of unknown name predicts.
    task: Literal["depth", "normal"] | None = None
    # What the depth of a checkpoint of unknown name is affine in.
    depth_space: Literal["disparity", "depth"] | None = None
    # Branch, tag or commit of a Hub id. None: its main branch.
    revision: str | None = None
    # Score the maps in this folder instead, one <name>.npz per photo, in <set>/ where several sets are scored.
    predictions: Path | None = None
    # What the row is called. None: the name of the model or of the folder.
    label: str | None = None
    # Where to compute: auto, cpu, cuda or mps.
    device: str = "auto"
    # Of the network: auto, float32, float16 or bfloat16.
    dtype: str = "auto"
    # Compile the networks: auto where that saves time.
    compile: CompileMode = "auto"
    # Seed of models that take noise.
    seed: Seed = 0
    # Photos per network call; none: 4 on a GPU, 1 elsewhere.
    images_per_batch: BatchSize | None = None
    # Do one of both loops: predict writes maps, score reads them.
    only: Literal["predict", "score"] | None = None
    # Part of the photos to predict, such as 2/8 on the second of eight machines; scoring is left to a later run.
    shard: str = "1/1"
    # papers: least-squares alignment (Marigold, Lotus). robust: that of MoGe. Depth only.
    protocol: Literal["papers", "robust", "both"] = "papers"
    # How the papers' protocol aligns depth. auto: in disparity what is affine disparity, all else in depth.
    align: Literal["auto", "none", "scale", "affine", "affine_disparity"] = "auto"
    # Where the terms of the robust alignment stop to grow, relative to depth; none: nowhere, as in MoGe's evaluation.
    truncation: Positive | None = None
    # Missing predictions, where there is ground truth: an error, or skipped (their share is reported).
    holes: Literal["refuse", "skip"] = "refuse"
    # Pictures of this many of the worst photos of each set.
    worst: Annotated[int, Interval(ge=0, le=1_000_000)] = 10
    # Threads that read and score.
    workers: Workers = 2


@dataclass(frozen=True)
class SurfaceConfig(Options):
    """Options of the task reconstruction. Lengths have the unit of the reference."""

    # Mesh or point cloud to score (PLY; meshes also OBJ, STL).
    pred: Path | None = None
    # What is true: a mesh, a cloud (PLY), a folder of <view>.npz depth maps, or a COLMAP model (its points).
    reference: Path | None = None
    # Cameras of reference depth maps: transforms.json or a COLMAP model.
    reference_poses: Path | None = None
    # Distances at which precision, recall and F-score are taken.
    thresholds: list[Positive] = field(default_factory=list)
    # Distance between samples: meshes are sampled and clouds thinned to it. None: half of the smallest threshold.
    spacing: Positive | None = None
    # Thin the reference too; off scores it as it is, as DTU does with its scans.
    thin_reference: bool = True
    # Measure to the triangles of a mesh; off measures to its samples, as the benchmarks do.
    exact: bool = True
    # Larger distances are left out of means and medians (DTU: 20 mm). None: keep all.
    max_distance: Positive | None = None
    # Box that both sides are cut to: x0, y0, z0, x1, y1, z1, in the frame of the reference.
    box: list[Annotated[float, Interval()]] = field(default_factory=list)
    # Crop volume of Tanks and Temples (JSON with a polygon), in the frame of the reference.
    crop: Path | None = None
    # DTU's ObsMask*.mat: the prediction is cut to its surroundings, and judged inside the observed volume only.
    dtu_mask: Path | None = None
    # DTU's Plane*.mat: reference points below the table are not judged.
    dtu_plane: Path | None = None
    # Do not judge predicted points that no reference depth map could have seen.
    seen_only: bool = False
    # How the prediction comes into the frame of the reference: none; cameras = similarity of the camera positions.
    align: Literal["none", "cameras"] = "none"
    # Cameras of the prediction, for --align cameras: transforms.json or a COLMAP model.
    pred_poses: Path | None = None
    # Then refine by ICP: none, rigid, or similarity (with scale).
    icp: Literal["none", "rigid", "similarity"] = "none"
    # Farthest pairs that ICP matches. None: ten times the largest threshold.
    icp_distance: Positive | None = None
    # Seed of what is sampled.
    seed: Seed = 0


@dataclass(frozen=True)
class PosesConfig(Options):
    """Options of the task poses."""

    # Poses to score: a COLMAP model, transforms.json, or a multi_view output folder.
    pred: Path | None = None
    # Given poses: a COLMAP model, transforms.json, or a cameras.json (file, K, w2c per frame).
    reference: Path | None = None
    # Limits at which the area under the curve of relative pose errors is taken.
    auc_deg: Annotated[list[Annotated[float, Interval(gt=0, le=180), Unit("degrees")]], MinLen(1)] = field(
        default_factory=lambda: [5.0, 10.0, 20.0]
    )


@dataclass(frozen=True)
class AlignmentEvalConfig(Options):
    """Options of the task alignment."""

    # Output folder of multi_view.
    scene: Path | None = None
    # Stage whose maps are scored.
    stage: str = "alignment"
    # Folder of sensor depth, one <view>.npz per view in metres; None scores the held-out sparse points.
    sensor: Path | None = None
    # Metres per unit of the scene. None: 1, of a scene in metres; another is not compared with a sensor.
    metres_per_unit: Positive | None = None


@dataclass(frozen=True)
class RaysConfig(Options):
    """Options of the task rays."""

    # Output folder of multi_view: its mesh is scored at the sparse points that it held out. None: --reference.
    scene: Path | None = None
    # Mesh to score. None: that of --scene.
    mesh: Path | None = None
    # What is visible from where, instead of held-out points: a COLMAP model (its points and tracks), or a folder of
    # <view>.npz depth maps.
    reference: Path | None = None
    # Cameras of reference depth maps: transforms.json or a COLMAP model.
    reference_poses: Path | None = None
    # Photos, for scores by texture. None: those of --scene, if any.
    images: Path | None = None
    # How far the mesh may lie from a point, relative to the point's distance from the camera.
    tolerances: Annotated[list[Annotated[float, Gt(0), Lt(1)]], MinLen(1)] = field(
        default_factory=lambda: [0.002, 0.01, 0.05]
    )
    # Pixels per reference depth map that are compared.
    samples: Many = 20_000


@dataclass(frozen=True)
class UncertaintyConfig(Options):
    """Options of the task uncertainty."""

    # Output folder of multi_view.
    scene: Path | None = None
    # True depth: a folder of <view>.npz depth maps, or the points of a COLMAP model in the frame of the scene.
    reference: Path | None = None
    # Metres per unit of the scene. None: 1, of a scene in metres; another is not compared with maps in metres.
    metres_per_unit: Positive | None = None
