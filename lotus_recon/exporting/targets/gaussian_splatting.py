"""``--export 3dgs``: photos, COLMAP model, inverse depth and a dense start for Inria's 3D Gaussian splatting.

Its reader knows cameras by their field of view alone, so photos whose principal point is off the middle are cropped. It
divides inverse depth by 65,536 before it applies scale and offset. It has no mask, so what other views contradict is
kept, and what has no depth at all is infinitely far. It ignores photos whose scale is far from the median of all, so
they have one scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.centring import centred_scene, centring_crop
from lotus_recon.exporting.targets.base import Target
from lotus_recon.io.cameras import write_colmap_scene
from lotus_recon.io.images import read_rgb, write_png
from lotus_recon.io.meshes import write_ply
from lotus_recon.workspace import write_json

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

DIVISOR = 65536  # by which the reader divides what is stored
_LARGEST = 65535


class _Dataset:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._centred, self._nearest = centred_scene(scene.scene), scene.nearest
        self._cropped = {Path(view.name).stem: view for view in self._centred.views}
        self._params: dict[str, dict[str, float]] = {}

    def add(self, view: ExportView) -> str:
        stem = Path(view.view.name).stem
        cropped, crop = self._cropped[stem], centring_crop(view.view.camera)
        photo = f"images/{cropped.name}"
        if cropped is view.view:
            view.copy_photo(self._folder, photo)
        else:
            write_png(self._folder / photo, read_rgb(view.photo)[crop.slices])
        depth = view.unchecked_depth[crop.slices]
        write_png(self._folder / "depths" / f"{stem}.png", coded_inverse_depth(depth, self._nearest))
        # Scale 0 makes the reader take a photo without depth for one that has no reliable depth.
        scale = DIVISOR / (_LARGEST * self._nearest) if depth.any() else 0.0
        self._params[stem] = {"scale": scale, "offset": 0.0}
        return photo

    def finish(self) -> None:
        sparse = self._folder / "sparse" / "0"
        write_colmap_scene(self._centred, sparse)
        write_ply(sparse / "points3D.ply", self._scene.cloud)
        scales = [params["scale"] for params in self._params.values() if params["scale"] > 0]
        median = float(np.median(scales)) if scales else 0.0
        params = {stem: self._params[stem] | {"med_scale": median} for stem in self._cropped}
        write_json(sparse / "depth_params.json", params)


def coded_inverse_depth(depth: NDArray[np.float32], nearest: float) -> NDArray[np.uint16]:
    """(H, W) ``nearest`` / depth of a map in 65,535ths, at most 1, and 0 where the depth is 0."""
    share = np.divide(nearest, depth, out=np.zeros(depth.shape), where=depth > 0)
    return np.rint(np.minimum(share, 1) * _LARGEST).astype(np.uint16)


TARGET = Target(
    "3D Gaussian splatting (Inria)",
    _Dataset,
    "inverse z-depth: value / 65536 * scale + offset of sparse/0/depth_params.json, in 1 / unit of the poses; "
    "0 is unknown or infinitely far",
)
