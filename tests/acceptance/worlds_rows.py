"""Acceptance of make_worlds: its truth against another ray caster and against itself, and what a photo costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from lotus_recon.datasets.rooms import RoomsSet, frames, mesh_file
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.types import Camera
from tests.acceptance.rows import Row

FAMILIES = ("streets", "objects", "creatures")
WORLDS, VIEWS = 5, 4  # 20 photos of a family
SIZE = "384x288"
CPU_BUDGET_S = 1.5
_FLAT = 2e-4  # largest distance of a patch from its plane, as a share of its depth
_PATCH = 2  # pixels to each side


def worlds(work: Path) -> list[Row]:
    """Three rows for each family."""
    return [row for family in FAMILIES for row in family_rows(family, work / family)]


def family_rows(family: str, root: Path) -> list[Row]:
    """Depth against Open3D's own rays, normals against the planes of the depth, CPU seconds."""
    seconds = rendered(family, root)
    depth, normals = np.concatenate(list(depth_errors(root))), np.concatenate(list(normal_errors(root)))
    wrong = float((depth > 2e-3).mean())
    angle, most = float(np.median(normals)), float(np.percentile(normals, 95))
    photos = f"{WORLDS * VIEWS} photos"
    cost = Row(f"worlds, {family}", f"CPU seconds a photo of {SIZE}, new worlds of 16", f"{seconds:.2f}",
               f"<= {CPU_BUDGET_S}", seconds <= CPU_BUDGET_S)  # fmt: skip
    return [
        Row(f"worlds, {family}", f"{photos}: depth off another ray caster's by over 0.2 %", f"{wrong:.3%}", "<= 0.5 %",
            wrong <= 0.005),
        Row(f"worlds, {family}", f"{photos}: normals against flat patches of the depth, median and 95 %",
            f"{angle:.2f}, {most:.1f} deg", "<= 1, <= 20 deg", angle <= 1 and most <= 20),
        cost,
    ]  # fmt: skip


def rendered(family: str, root: Path) -> float:
    """Make the photos to check, and two worlds of 16 photos whose CPU seconds per photo are returned."""
    _make(root, family, "--count", str(WORLDS), "--views", str(VIEWS), "--mesh")
    timed = root.with_name(f"{family}-{time.time_ns()}")
    before = os.times()
    _make(timed, family, "--count", "4", "--views", "16")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent / max(len(RoomsSet(timed, "all")), 1)


def _make(out: Path, family: str, *options: str) -> None:
    command = [sys.executable, "-m", "pipelines.make_worlds", "--out", str(out), "--family", family, "--size", SIZE]
    subprocess.run([*command, "--seed", "7", "--workers", "1", *options], check=True)


def scenes(root: Path) -> list[Path]:
    """Folders of the worlds."""
    return sorted(root.glob("scene_*"))


def tensor(values: NDArray[np.float64]) -> o3d.core.Tensor:
    """In double precision (any shape)."""
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(values, np.float64))


def depth_errors(root: Path) -> Iterator[NDArray[np.float64]]:
    """Relative differences (N,) from rays that Open3D makes from the files of a world; 1 where only one has depth."""
    loaded = RoomsSet(root, "all")
    index = 0
    for scene in scenes(root):
        mesh = o3d.t.io.read_triangle_mesh(str(mesh_file(scene)))
        target = o3d.t.geometry.RaycastingScene()
        target.add_triangles(mesh)
        for frame in frames(scene):
            camera = frame.view.camera
            # Pixel centres of Open3D's rays lie at half pixels, as ours do.
            rays = target.create_rays_pinhole(
                tensor(camera.K), tensor(frame.view.cam_from_world), camera.width, camera.height
            )
            length = target.cast_rays(rays)["t_hit"].numpy().astype(np.float64)  # directions have z = 1
            sample = loaded.load(index)
            index += 1
            assert sample.depth is not None
            assert sample.depth_valid is not None
            both = np.isfinite(length) & sample.depth_valid
            one = (np.isfinite(length) & (length < 500)) != sample.depth_valid
            # Thin things and edges: rays that differ in the last digit may pass them on either side.
            error = np.where(one, 1.0, 0.0)
            error[both] = np.abs(length[both] / sample.depth[both] - 1)
            yield error.ravel()


def normal_errors(root: Path) -> Iterator[NDArray[np.float64]]:
    """Angles in degrees (N,) between normals and the planes through patches of depth that are flat."""
    loaded = RoomsSet(root, "all")
    cameras = [frame.view.camera for scene in scenes(root) for frame in frames(scene)]
    for index, camera in enumerate(cameras):
        sample = loaded.load(index)
        assert sample.depth is not None
        assert sample.depth_valid is not None
        assert sample.normals is not None
        assert sample.normals_valid is not None
        planes, flat = planes_of(sample.depth, sample.depth_valid, camera)
        flat &= sample.normals_valid
        cosine = np.abs((planes[flat] * sample.normals[flat]).sum(-1))
        yield np.degrees(np.arccos(np.clip(cosine, 0, 1)))


def planes_of(
    depth: NDArray[np.float32], valid: NDArray[np.bool_], camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Unit normals (H, W, 3) of the planes through the patches around pixels, and where (H, W) the patch is flat.

    On a plane 1/z is linear in the image: 1/z = n . ray / d.
    """
    rays = rays_in_cam(camera)
    inverse = np.where(valid, 1 / np.maximum(depth.astype(np.float64), 1e-6), 0)
    sides = range(-_PATCH, _PATCH + 1)
    shifts = [(dy, dx) for dy in sides for dx in sides]
    around = np.stack([np.roll(inverse, shift, (0, 1)) for shift in shifts], axis=-1)
    directions = np.stack([np.roll(rays, shift, (0, 1)) for shift in shifts], axis=-2)
    gram = np.einsum("hwki,hwkj->hwij", directions, directions)
    plane = np.linalg.solve(gram, np.einsum("hwki,hwk->hwi", directions, around)[..., None])[..., 0]
    off = np.abs(np.einsum("hwki,hwi->hwk", directions, plane) - around).max(-1)
    whole = np.stack([np.roll(valid, shift, (0, 1)) for shift in shifts], axis=-1).all(-1)
    flat = whole & (off < _FLAT * inverse)
    flat[:_PATCH] = flat[-_PATCH:] = flat[:, :_PATCH] = flat[:, -_PATCH:] = False
    return normalized(plane), flat
