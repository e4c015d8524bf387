"""Normal-guided refinement: a fused mesh that follows the normals predicted for its views.

Fusing depth averages the depth of the views; where they disagree by a little, or where one of them ends, the mesh
has steps that no view's normals show. Here its vertices move, each along its own normal, until the triangles are as
oblique as the normals say, and stay near the position that fusion gave them: positions decide large shapes, normals
small ones (Nehab et al., "Efficiently combining positions and normals for precise 3D geometry", SIGGRAPH 2005). A
triangle that does not follow in an iteration gets a lower weight in the next, so that creases and borders stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.triangles import triangle_area_vectors, vertex_normals
from lotus_recon.io.scene_maps import ANY_DEPTH, SceneMaps, read_ahead
from lotus_recon.types import FloatArray, Mesh, View

_LONGEST_SCALE = 10.0  # edges; longer ones move borders, and positions are good enough there
_BESIDE = 0.03  # relative: a pixel whose depth is farther from the mesh shows something else
_GRAZING = 0.05  # least weight of a normal, as cosine to the ray
_UNSEEN_WEIGHT = 0.3  # of the own normals of triangles that no view has one for: they move as a whole
_DOUBTFUL_DEG = 15.0  # a triangle that is so far from its normal counts half in the next round
_ROUNDS = 4
_HOLD = 6.0  # weight of the places, in squared edges per squared scale
_TOLERANCE, _MAX_ITERATIONS = 1e-3, 300


@dataclass(frozen=True, eq=False)
class ViewNormals:
    """The maps of one view: z-depth (H, W), 0 where unknown, and normals (H, W, 3) in camera axes with their mask."""

    view: View
    depth: FloatArray
    normals: FloatArray
    valid: NDArray[np.bool_]


def read_view_normals(views: Iterable[View], depth_dir: Path, prediction_dir: Path) -> Iterator[ViewNormals]:
    """The normals of the views that have both maps, where their depth is used; one view is read ahead.

    Raises InputError for a map that cannot be read or has another size than its camera.
    """
    depths, predictions = SceneMaps(depth_dir, ("depth",), ANY_DEPTH), SceneMaps(prediction_dir, ("normals",))

    def read(view: View) -> ViewNormals | None:
        normals = predictions.normals(view) if depths.has(view) else None
        if normals is None:
            return None
        return ViewNormals(view, depths.load(view).depth_or_zero, normals.values, normals.valid)

    yield from filter(None, read_ahead(read, views))


def follow_normals(mesh: Mesh, views: Iterable[ViewNormals], scale: float) -> Mesh:
    """``mesh`` with vertices moved and normals renewed; triangles and colours stay.

    ``scale`` is the length up to which the shape comes from the normals, in units of the scene.
    """
    area_vectors = triangle_area_vectors(mesh)
    areas = np.linalg.norm(area_vectors, axis=1)
    edge = float(np.sqrt(2 * areas.mean()))
    if edge <= 0:
        return mesh
    sums = mean_normals(mesh, views)
    seen = (sums != 0).any(1)
    targets = normalized(np.where(seen[:, None], sums, area_vectors))
    weights = np.where(seen, 1.0, _UNSEEN_WEIGHT) * (areas > 0)
    hold = _HOLD * (edge / min(scale, _LONGEST_SCALE * edge)) ** 2
    along = vertex_normals(mesh, area_vectors).astype(np.float64)
    moved = mesh
    for _ in range(_ROUNDS):
        own = normalized(triangle_area_vectors(moved))
        off_deg = np.degrees(np.arccos(np.clip((own * targets).sum(1), -1, 1)))
        confidence = weights / (1 + (off_deg / _DOUBTFUL_DEG) ** 2)
        steps = _steps(mesh, along, targets, confidence, hold)
        moved = replace(mesh, vertices=(mesh.vertices + steps[:, None] * along).astype(np.float32))
    return replace(moved, normals=vertex_normals(moved, triangle_area_vectors(moved)))


def mean_normals(mesh: Mesh, views: Iterable[ViewNormals]) -> NDArray[np.float64]:
    """(T, 3) sum of the normals that views have for each triangle, in world axes; 0 where none has one.

    A pixel speaks for the triangle that its ray meets first, if its depth lies beside it.
    """
    import open3d

    core: Any = open3d.core
    scene: Any = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(core.Tensor(mesh.vertices.astype(np.float32)), core.Tensor(mesh.triangles.astype(np.uint32)))
    sums = np.zeros((len(mesh.triangles), 3))
    for seen in views:
        world_from_cam = seen.view.cam_from_world[:3, :3].T
        rays = rays_in_cam(seen.view.camera)
        in_world = (rays @ world_from_cam.T).reshape(-1, 3)
        origins = np.broadcast_to(seen.view.center_in_world, in_world.shape)
        hits = scene.cast_rays(core.Tensor(np.concatenate([origins, in_world], 1).astype(np.float32)))
        depth = hits["t_hit"].numpy().reshape(seen.depth.shape)
        with np.errstate(invalid="ignore"):
            speaks = seen.valid & (seen.depth > 0) & (np.abs(depth - seen.depth) < _BESIDE * seen.depth)
        triangles = hits["primitive_ids"].numpy().reshape(seen.depth.shape)[speaks]
        normals = seen.normals[speaks].astype(np.float64)
        facing = -(normals * normalized(rays[speaks])).sum(1)
        weighted = np.clip(facing, _GRAZING, 1)[:, None] * (normals @ world_from_cam.T)
        for axis in range(3):
            sums[:, axis] += np.bincount(triangles, weighted[:, axis], len(sums))
    return sums


def _steps(mesh: Mesh, along: FloatArray, targets: FloatArray, weights: FloatArray, hold: float) -> NDArray[np.float64]:
    """(V,) how far each vertex goes along its normal: least

    sum over triangles and their edges (i, j) of weights (target . (x_i - x_j))^2 + hold sum_i step_i^2

    with x = vertex + step along. The places hold well enough for a diagonal preconditioner.
    """
    count = len(mesh.vertices)
    places = mesh.vertices.astype(np.float64)
    diagonal, right = np.full(count, hold), np.zeros(count)
    rows, columns, values = [], [], []
    for first, second in ((0, 1), (1, 2), (2, 0)):
        i, j = mesh.triangles[:, first], mesh.triangles[:, second]
        of_i, of_j = (targets * along[i]).sum(1), (targets * along[j]).sum(1)
        gap = weights * (targets * (places[i] - places[j])).sum(1)
        diagonal += np.bincount(i, weights * of_i**2, count) + np.bincount(j, weights * of_j**2, count)
        right += np.bincount(j, of_j * gap, count) - np.bincount(i, of_i * gap, count)
        rows.append(i)
        columns.append(j)
        values.append(-weights * of_i * of_j)
    indices = (np.concatenate(rows), np.concatenate(columns))
    half = scipy.sparse.coo_array((np.concatenate(values), indices), shape=(count, count)).tocsr()
    matrix = half + half.T + scipy.sparse.diags_array(diagonal, format="csr")
    steps, _ = scipy.sparse.linalg.cg(
        matrix, right, rtol=_TOLERANCE, maxiter=_MAX_ITERATIONS, M=scipy.sparse.diags_array(1 / diagonal)
    )
    return np.asarray(steps)
