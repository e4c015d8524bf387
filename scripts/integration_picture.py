"""docs/integration.png: surfaces integrated from normal maps alone, turned to the side so that steps show.

python scripts/integration_picture.py ../shared/data/normals_diligent
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lotus_recon.datasets.diligent import ObjectNormals, read_object
from lotus_recon.integration import IntegrationResult, integrate_normals
from lotus_recon.io.images import write_png
from lotus_recon.io.visualization import contact_sheet
from lotus_recon.reporting.rendering import MeshRenderer
from lotus_recon.types import Camera, Mesh

TURN_DEG = 40.0
SIDE = 480
WHOLE = 0.3  # continuity below which a triangle is left out


def main(root: Path) -> None:
    """Objects without truth first."""
    pictures = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        one = read_object(folder)
        found = integrate_normals(one.normals, one.mask, one.K)
        pictures[folder.name] = rendered(surface(found, one))
    write_png(Path("docs/integration.png"), contact_sheet(list(pictures.values()), list(pictures), 5, cell_width=300))


def surface(found: IntegrationResult, one: ObjectNormals) -> Mesh:
    """Pixels as vertices, in units of pixels; squares with a torn side are left out."""
    height, width = one.mask.shape
    row, col = np.mgrid[:height, :width] + 0.5
    depth = np.where(one.mask, found.depth, 0.0).astype(np.float64)
    if one.K is None:
        points = np.stack([col, row, depth], axis=-1)
    else:
        rays = np.stack([col, row, np.ones_like(col)], axis=-1) @ np.linalg.inv(one.K).T
        points = rays * depth[..., None] * one.K[0, 0]
    right, below = found.continuity[..., 0] > WHOLE, found.continuity[..., 1] > WHOLE
    square = right[:-1, :-1] & right[1:, :-1] & below[:-1, :-1] & below[:-1, 1:]
    index = np.arange(height * width).reshape(height, width)
    a, b, c, d = index[:-1, :-1][square], index[:-1, 1:][square], index[1:, :-1][square], index[1:, 1:][square]
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([d, b, c], 1)]).astype(np.int32)
    return Mesh(points.reshape(-1, 3).astype(np.float32), triangles)


def rendered(mesh: Mesh) -> NDArray[np.uint8]:
    """From the side, by a camera so far away that nothing converges."""
    used = mesh.vertices[np.unique(mesh.triangles)].astype(np.float64)
    turn = Rotation.from_euler("yx", [TURN_DEG, -15], degrees=True).as_matrix()
    turned = used @ turn.T
    low, high = turned.min(0), turned.max(0)
    extent = float((high - low)[:2].max())
    far = 50 * extent
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3] = turn
    cam_from_world[:3, 3] = [*(-(low + high)[:2] / 2), far - (low[2] + high[2]) / 2]
    focal = 0.95 * SIDE * far / extent
    camera = Camera(SIDE, SIDE, focal, focal, SIDE / 2, SIDE / 2)
    return MeshRenderer(mesh).render(camera, cam_from_world, ["shaded"])["shaded"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
