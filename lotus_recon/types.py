"""The values that stages exchange. Each is validated when built, so code that receives one need not check again.

Conventions (converted once, at the border): camera axes OpenCV (x right, y down, z forward), first pixel centre at
(0.5, 0.5), poses ``cam_from_world`` (4x4, float64), depth is z-depth, normals are unit and face the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]

# A rotation read from text with 6 digits is orthonormal to about 1e-6; a scaled or sheared one is off by far more.
_RIGID_TOLERANCE = 1e-3
MAX_SIDE_PX = 65_536
_FOCAL_RANGE = (4e-4, 6e3)  # in longer sides of the photo
_CENTER_RANGE = 20.0
_FARTHEST = 1e10  # of a camera from the origin: the Earth's radius in millimetres is 6.4e9


class DepthKind(str, Enum):
    """What the numbers of a depth map mean."""

    METRIC = "METRIC"  # metres
    SCENE = "SCENE"  # unit of the camera poses
    SCALE_FREE = "SCALE_FREE"  # depth up to one factor
    AFFINE = "AFFINE"  # depth up to scale and shift
    AFFINE_DISPARITY = "AFFINE_DISPARITY"  # 1 / depth up to scale and shift

    @classmethod
    def parse(cls, text: str) -> DepthKind:
        """The kind named ``text`` (upper case). Raises InputError with the allowed names."""
        try:
            return cls(text)
        except ValueError:
            raise InputError(f"unknown depth kind {text!r}; allowed: {', '.join(k.value for k in cls)}") from None

    @property
    def has_shift(self) -> bool:
        """Whether maps of this kind have an unknown shift beside the unknown scale."""
        return self in (DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


def check_camera(width: int, height: int, focal_px: tuple[float, ...], center_px: tuple[float, ...]) -> None:
    """Raise InputError unless these can be the size, focal lengths and principal point of a camera.

    The limits are wide: fields of view from a hundredth of a degree to 179.9, and a crop of an image 20 times as large.
    """
    _check(width > 0 and height > 0, f"camera size {width}x{height}: both must be positive")
    _check(max(width, height) <= MAX_SIDE_PX, f"camera size {width}x{height}: at most {MAX_SIDE_PX} pixels a side")
    values = (*focal_px, *center_px)
    _check(all(np.isfinite(values)), f"camera intrinsics {values}: must be finite")
    _check(min(focal_px) > 0, f"focal lengths {focal_px} px: must be positive")
    side = max(width, height)
    low, high = _FOCAL_RANGE[0] * side, _FOCAL_RANGE[1] * side
    plausible = low <= min(focal_px) and max(focal_px) <= high
    _check(plausible, f"focal lengths {focal_px} px of {width}x{height}: allowed are {low:g} to {high:g}")
    inside = max(abs(value) for value in center_px) <= _CENTER_RANGE * side
    _check(inside, f"principal point {center_px} px of {width}x{height}: at most {_CENTER_RANGE:g} sides away")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion. All in pixels; the first pixel centre is at (0.5, 0.5)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        check_camera(self.width, self.height, (self.fx, self.fy), (self.cx, self.cy))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @cached_property
    def K(self) -> NDArray[np.float64]:
        """(3, 3) intrinsic matrix, first pixel centre at (0.5, 0.5)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def fov_deg(self) -> tuple[float, float]:
        """(horizontal, vertical) field of view in degrees."""
        x = np.arctan(self.cx / self.fx) + np.arctan((self.width - self.cx) / self.fx)
        y = np.arctan(self.cy / self.fy) + np.arctan((self.height - self.cy) / self.fy)
        return float(np.degrees(x)), float(np.degrees(y))

    @classmethod
    def from_K(cls, K: FloatArray, width: int, height: int) -> Camera:
        """Camera from a (3, 3) matrix without skew."""
        K = np.asarray(K, np.float64)
        _check(K.shape == (3, 3), f"K has shape {K.shape}; allowed: (3, 3)")
        _check(abs(K[0, 1]) < 1e-6 * abs(K[0, 0]), f"K has skew {K[0, 1]}; allowed: 0")
        return cls(int(width), int(height), *(float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])))

    @classmethod
    def from_fov_deg(cls, fov_deg: float, width: int, height: int) -> Camera:
        """Camera with square pixels, the given horizontal field of view in degrees and a centred principal point."""
        _check(0 < fov_deg < 180, f"field of view {fov_deg} degrees; allowed: above 0 and below 180")
        focal = 0.5 * width / np.tan(np.radians(fov_deg) / 2)
        return cls(width, height, float(focal), float(focal), width / 2, height / 2)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera after the image was resized to (width, height)."""
        sx, sy = width / self.width, height / self.height
        return Camera(width, height, self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy)


@dataclass(frozen=True, eq=False)
class View:
    """One posed photo. ``name`` is its path relative to the image root, with suffix, '/' separated."""

    name: str
    camera: Camera
    cam_from_world: NDArray[np.float64]  # (4, 4)

    def __post_init__(self) -> None:
        pose = np.asarray(self.cam_from_world, np.float64)
        object.__setattr__(self, "cam_from_world", pose)
        check_rigid(pose, f"pose of view {self.name!r}")

    @property
    def stem(self) -> str:
        """The name without suffix: how files of ours that belong to this view are named."""
        return str(PurePosixPath(self.name).with_suffix(""))

    @property
    def center_in_world(self) -> NDArray[np.float64]:
        """(3,) camera centre in world coordinates."""
        return -self.cam_from_world[:3, :3].T @ self.cam_from_world[:3, 3]


def check_rigid(matrix: FloatArray, what: str) -> None:
    """Raise InputError unless ``matrix`` is a (4, 4) rotation and translation."""
    _check(matrix.shape == (4, 4), f"{what}: shape {matrix.shape}; allowed: (4, 4)")
    _check(bool(np.isfinite(matrix).all()), f"{what}: has values that are not finite")
    farthest = float(np.abs(matrix[:3, 3]).max())
    _check(farthest <= _FARTHEST, f"{what}: a translation of {farthest:g}; at most {_FARTHEST:g} is allowed")
    R = matrix[:3, :3]
    rigid = np.abs(R).max() < 2 and np.abs(R @ R.T - np.eye(3)).max() < _RIGID_TOLERANCE and np.linalg.det(R) > 0
    _check(bool(rigid), f"{what}: the 3x3 part is not a rotation (scaled, sheared or mirrored)")
    _check(bool(np.allclose(matrix[3], [0, 0, 0, 1])), f"{what}: the last row must be 0 0 0 1, not {matrix[3]}")


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of every pixel. ``values`` float32 (H, W), ``valid`` bool (H, W); invalid pixels may hold anything."""

    values: NDArray[np.float32]
    valid: BoolArray
    kind: DepthKind

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float32)
        valid = np.asarray(self.valid, bool)
        _check(values.ndim == 2, f"depth has shape {values.shape}; allowed: (H, W)")
        _check(valid.shape == values.shape, f"depth_valid has shape {valid.shape}, depth {values.shape}: must agree")
        _check(bool(np.isfinite(values[valid]).all()), "depth has NaN or infinite values at pixels marked valid")
        positive = self.kind in (DepthKind.METRIC, DepthKind.SCENE, DepthKind.SCALE_FREE)
        _check(not positive or bool((values[valid] > 0).all()), f"{self.kind.value} depth must be positive where valid")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "valid", valid)

    @classmethod
    def checked_before(cls, values: NDArray[np.float32], valid: BoolArray, kind: DepthKind) -> DepthMap:
        """Values (H, W) of what was a map before, without a look at every pixel again."""
        depth: DepthMap = object.__new__(cls)
        for name, value in (("values", values), ("valid", valid), ("kind", kind)):
            object.__setattr__(depth, name, value)
        return depth

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.values.shape[0], self.values.shape[1]


@dataclass(frozen=True, eq=False)
class NormalMap:
    """Unit normals in OpenCV camera axes, facing the camera. ``values`` float32 (H, W, 3), ``valid`` bool (H, W)."""

    values: NDArray[np.float32]
    valid: BoolArray

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float32)
        valid = np.asarray(self.valid, bool)
        _check(values.ndim == 3 and values.shape[2] == 3, f"normals have shape {values.shape}; allowed: (H, W, 3)")
        _check(valid.shape == values.shape[:2], f"normals_valid has shape {valid.shape}, normals {values.shape}")
        length = np.sqrt(np.einsum("hwc,hwc->hw", values, values)[valid])  # no copy of the vectors: maps may be large
        _check(bool((np.abs(length - 1) < 1e-2).all()), "normals must be finite and of unit length where valid")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "valid", valid)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.values.shape[0], self.values.shape[1]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one photo; depth and normals have the size of the photo. ``meta`` is JSON-serialisable."""

    depth: DepthMap | None
    normals: NormalMap | None
    meta: dict[str, Any] = field(default_factory=dict)
    # (H, W) float32, of an ensemble: standard deviation of the values of depth, and of the direction of normals.
    depth_sigma: NDArray[np.float32] | None = None
    normals_sigma_deg: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _check(self.depth is not None or self.normals is not None, "a prediction needs depth, normals or both")
        if self.depth is not None and self.normals is not None:
            same = self.depth.shape == self.normals.shape
            _check(same, f"depth has size {self.depth.shape}, normals {self.normals.shape}: must agree")
        for name, sigma in (("depth_sigma", self.depth_sigma), ("normals_sigma_deg", self.normals_sigma_deg)):
            if sigma is not None:
                _check(sigma.shape == self.shape, f"{name} has shape {sigma.shape}, its map {self.shape}: must agree")
                _check(bool((sigma >= 0).all()), f"{name} must be 0 or more")

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        maps = self.depth or self.normals
        assert maps is not None  # by __post_init__
        return maps.shape


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Triangulated points and where they were seen. P points, O observations (one row per point and view)."""

    xyz: NDArray[np.float64]  # (P, 3) world
    rgb: NDArray[np.uint8]  # (P, 3)
    error_px: NDArray[np.float64]  # (P,) mean reprojection error, in pixels
    obs_point: NDArray[np.int64]  # (O,) index into xyz
    obs_view: NDArray[np.int64]  # (O,) index into Scene.views
    obs_xy: NDArray[np.float64]  # (O, 2) pixels, first pixel centre at (0.5, 0.5)

    def __post_init__(self) -> None:
        P, O = len(self.xyz), len(self.obs_point)
        shapes = (self.xyz.shape, self.rgb.shape, self.error_px.shape, self.obs_view.shape, self.obs_xy.shape)
        allowed = ((P, 3), (P, 3), (P,), (O,), (O, 2))
        _check(shapes == allowed, f"sparse points have shapes {shapes}; allowed: {allowed}")
        _check(bool(np.isfinite(self.xyz).all()), "sparse points are not finite")
        _check(
            O == 0 or 0 <= int(self.obs_point.min()) <= int(self.obs_point.max()) < P,
            "an observation names a point that does not exist",
        )

    @cached_property
    def track_length(self) -> NDArray[np.int64]:
        """(P,) number of views that see each point."""
        return np.bincount(self.obs_point, minlength=len(self.xyz)).astype(np.int64)

    @cached_property
    def _by_view(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the observations ordered by view, and the views in that order."""
        order = np.argsort(self.obs_view, kind="stable")
        return order, self.obs_view[order]

    def rows_of(self, view: int) -> NDArray[np.int64]:
        """(N,) rows of the observations in the view with this index, ascending."""
        order, views = self._by_view
        first, last = np.searchsorted(views, [view, view + 1])
        return order[first:last]

    def where(self, chosen: BoolArray) -> SparsePoints:
        """The ``chosen`` (P,) points with their observations."""
        rows = chosen[self.obs_point]
        number = np.cumsum(chosen) - 1
        return SparsePoints(
            self.xyz[chosen],
            self.rgb[chosen],
            self.error_px[chosen],
            number[self.obs_point[rows]],
            self.obs_view[rows],
            self.obs_xy[rows],
        )

    @classmethod
    def empty(cls) -> SparsePoints:
        """No points at all."""
        i, f = np.zeros(0, np.int64), np.zeros(0)
        return cls(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), f, i, i.copy(), np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class Scene:
    """Posed photos and the sparse points they share. ``metric`` says that the poses are in metres."""

    views: tuple[View, ...]
    points: SparsePoints
    metric: bool = False

    def __post_init__(self) -> None:
        names = [view.name for view in self.views]
        _check(len(set(names)) == len(names), "two views of the scene have the same name")
        seen = self.points.obs_view
        _check(len(seen) == 0 or bool(seen.max() < len(names)), "an observation names a view that does not exist")

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Index of each view by name."""
        return {view.name: i for i, view in enumerate(self.views)}


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles. ``vertices`` (V, 3) float32, ``triangles`` (T, 3) int32, optional ``colors`` uint8 and ``normals``.

    ``confidence`` (V,) from 0 to 1: how sure the photos are of a vertex; what they do not show has next to none.
    ``sigma`` (V,): one standard deviation of its place, in units of the scene; NaN where nothing says it.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8] | None = None  # (V, 3)
    normals: NDArray[np.float32] | None = None  # (V, 3)
    confidence: NDArray[np.float32] | None = None  # (V,)
    sigma: NDArray[np.float32] | None = None  # (V,)

    def __post_init__(self) -> None:
        V, T = len(self.vertices), len(self.triangles)
        _check(self.vertices.shape == (V, 3), f"vertices have shape {self.vertices.shape}; allowed: (V, 3)")
        _check(self.triangles.shape == (T, 3), f"triangles have shape {self.triangles.shape}; allowed: (T, 3)")
        _check(bool(np.isfinite(self.vertices).all()), "vertices are not finite")
        inside = T == 0 or (int(self.triangles.min()) >= 0 and int(self.triangles.max()) < V)
        _check(inside, "a triangle names a vertex that does not exist")
        for name, values in (("colors", self.colors), ("normals", self.normals)):
            _check(values is None or values.shape == (V, 3), f"{name} must have shape ({V}, 3)")
        for name, values in (("confidence", self.confidence), ("sigma", self.sigma)):
            _check(values is None or values.shape == (V,), f"{name} must have shape ({V},)")
