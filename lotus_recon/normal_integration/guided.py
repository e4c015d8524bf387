"""What integration reads of a view: depth, its confidence, predicted normals, and sparse points as control points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.geometry.points import seen_points
from lotus_recon.integration import IntegrationConfig, IntegrationResult, integrate_normals
from lotus_recon.io.scene_maps import ANY_DEPTH, SceneMaps
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.types import BoolArray, Camera, DepthMap, FloatArray, NormalMap, Scene, View

# Share of the longer side of a map, where neither points nor other views decide: the large shapes of monocular depth
# are then worth more than normals integrated over the whole map, whose error grows with the distance.
DEFAULT_SCALE = 0.3


@dataclass(frozen=True, eq=False)
class GuidedView:
    """A view with depth and the normals that guide it; None where the model predicted no normals."""

    index: int  # in the scene
    view: View
    depth: DepthMap
    confidence: NDArray[np.float32]  # (H, W)
    normals: NormalMap | None

    @property
    def can_be_integrated(self) -> bool:
        """Whether pixels have both depth and a normal."""
        return self.normals is not None and int((self.depth.valid & self.normals.valid).sum()) >= 2

    def integrated(
        self, scene: Scene, guides: BoolArray, config: NormalIntegrationConfig, device: torch.device
    ) -> IntegrationResult:
        """The depth that the normals give, with the points ``guides`` (P,) of the scene as control points."""
        assert self.normals is not None  # the caller asked can_be_integrated
        points = _control_points(scene, self.index, self.depth, guides)
        return integrated_depth(self.depth, self.confidence, self.normals, self.view.camera, points, config, device)

    def combined(self, result: IntegrationResult) -> DepthMap:
        """The integrated depth where there is some, otherwise the depth as it was."""
        assert self.normals is not None
        both = self.depth.valid & self.normals.valid
        return replace(self.depth, values=np.where(both, result.depth, self.depth.values))


class GuidedViews:
    """The views of a scene that have depth, read when they are needed; on request reduced to fewer pixels."""

    def __init__(self, scene: Scene, depth_dir: Path, prediction_dir: Path, every: int = 1) -> None:
        """``every``: only each so-many-th pixel of each so-many-th row is used, and the scene is that of these."""
        self.scene = scene if every == 1 else _subsampled(scene, every)
        self._full, self._every = scene, every
        self._depths = SceneMaps(depth_dir, ("depth", "confidence"), ANY_DEPTH)
        self._predictions = SceneMaps(prediction_dir, ("normals",))

    def subsampled(self, every: int) -> GuidedViews:
        """The same views with fewer pixels."""
        return GuidedViews(self._full, self._depths.folder, self._predictions.folder, every)

    def with_depth(self) -> list[int]:
        """Indices of the views that have depth."""
        return [index for index, view in enumerate(self._full.views) if self._depths.has(view)]

    def depth(self, index: int) -> DepthMap:
        """The depth of a view (H, W). Raises InputError when it cannot be read."""
        depth = self._depths.load(self._full.views[index]).required_depth
        some = _middle_of(self._every)
        return DepthMap(depth.values[some, some], depth.valid[some, some], depth.kind)

    def load(self, index: int) -> GuidedView:
        """A view with all its maps. Raises InputError for maps that cannot be read or differ in size."""
        view = self._full.views[index]
        maps, normals = self._depths.load(view), self._predictions.normals(view)
        depth, some = maps.required_depth, _middle_of(self._every)
        return GuidedView(
            index,
            self.scene.views[index],
            DepthMap(depth.values[some, some], depth.valid[some, some], depth.kind),
            maps.weight[some, some],
            None if normals is None else NormalMap(normals.values[some, some], normals.valid[some, some]),
        )


def integrated_depth(
    depth: DepthMap,
    confidence: FloatArray,
    normals: NormalMap,
    camera: Camera,
    control_points: FloatArray | None,
    config: NormalIntegrationConfig,
    device: torch.device,
) -> IntegrationResult:
    """Depth of one view from its normals, with its depth as prior where that is valid; NaN where either is not.

    ``confidence`` (H, W) of the depth; ``control_points`` (H, W) depths of single pixels, NaN elsewhere. ``device``
    as for ``integrate_normals``.
    """
    mask = depth.valid & normals.valid
    own, known = normals_from_depth(depth.values, depth.valid, camera)
    agreement = np.where(known, 1 / (1 + (angle_deg(own, normals.values) / config.advanced.disagreement_deg) ** 2), 0.5)
    has_points = control_points is not None and np.isfinite(control_points[mask]).any()
    return integrate_normals(
        normals.values,
        mask,
        camera.K,
        np.where(mask, depth.values, np.nan),
        confidence * agreement,
        anchors=control_points if has_points else None,
        config=IntegrationConfig(
            prior_length=config.integration_scale or DEFAULT_SCALE,
            anchor_weight=config.advanced.point_weight,
            max_bad_share=1.0,
        ),
        device=device,
    )


def _control_points(scene: Scene, index: int, depth: DepthMap, usable: BoolArray) -> NDArray[np.float64]:
    """(H, W) z-depth of the ``usable`` (P,) points where the view sees them; NaN elsewhere."""
    xy, z = seen_points(scene, index, usable)
    points = np.full(depth.shape, np.nan)
    points[pixel_index(xy, *depth.shape)] = np.where(z > 0, z, np.nan)
    return points


def _middle_of(every: int) -> slice:
    """The middle one of every so many pixels."""
    return slice(every // 2, None, every)


def _subsampled(scene: Scene, every: int) -> Scene:
    """The scene as seen by the pixels that ``_middle_of`` leaves."""
    before = every // 2 + 0.5  # centre of the first of them

    def camera(full: Camera) -> Camera:
        width, height = (len(range(size)[_middle_of(every)]) for size in full.size)
        cx, cy = ((at - before) / every + 0.5 for at in (full.cx, full.cy))
        return Camera(width, height, full.fx / every, full.fy / every, cx, cy)

    views = tuple(replace(view, camera=camera(view.camera)) for view in scene.views)
    points = replace(scene.points, obs_xy=(scene.points.obs_xy - before) / every + 0.5)
    return replace(scene, views=views, points=points)
