"""What the colours of the images mean, in words with numbers and units. The colours are those of io.visualization."""

from __future__ import annotations

from lotus_recon.io.visualization import ERROR_COLORS
from lotus_recon.types import DepthKind

NORMALS = "red: x to the right, green: y up, blue: z to the camera; each from -1 (none of the colour) to 1 (all of it)"
CONFIDENCE = "dark violet 0, green 0.5, yellow 1"
PHOTO_AGREEMENT = f"confidence of the stereo depth: {CONFIDENCE}; photos decide where it is 0.5 or more"
ERROR_BARS = (
    f"what nine errors of ten are within, relative to depth: dark blue {ERROR_COLORS[0]:.1%} or less, "
    f"red {ERROR_COLORS[1]:.0%} or more, logarithmic"
)
# Of the renders of a mesh.
SHADINGS = {
    "texture": "the textured mesh",
    "color": "vertex colours",
    "shaded": "grey, lit from the camera",
    "normals": f"normals: {NORMALS}",
}

# Of words that a reader need not know, shown where the pointer rests on them.
TERMS = {
    "error": "median of |depth / distance of the point - 1| at points that photos agree on",
    "grade": "the error in a word; the line below the table says which",
    "photos decide": "share of the pixels whose depth comes from comparing photos; the rest was completed",
    "error bar": "nine errors of ten are within it, relative to depth: half of the pixels have this or a smaller one",
    "contradicted": "share of the pixels that other photos see through or see something before; they are dropped",
    "share": "of the time of all stages",
    "peak memory": "most memory that the process had taken by the end of the stage",
    "registered": "photos whose camera has a known position and direction",
    "held out": "points that were left out of a fit, to measure its error",
    "inliers": "points that agree with the fit",
    "scale": "factor that takes predicted values to the unit of the scene",
    "mean reprojection error px": "distance in pixels of points from where the photos show them",
    "mean track length": "photos in which a point is seen, on average",
    "seen ratio": "share of the surface that photos show",
    "blocked ratio": "share of what photos surely show that the mesh hides",
    "voxel size": "side of the cells that depth maps are averaged in",
    "median sigma percent": "standard deviation of depth, in percent of it: half of the pixels have less",
    "p90 sigma percent": "standard deviation of depth, in percent of it: nine of ten pixels have less",
    "half sigmas": "standard deviations that half of the errors are within; 0.67 if they are normal",
    "truncation": "distance from a surface up to which a depth map counts",
}

_UNITS = {
    DepthKind.METRIC: "metres",
    DepthKind.SCENE: "units of the scene",
    DepthKind.SCALE_FREE: "no unit (depth up to scale)",
    DepthKind.AFFINE: "no unit (depth up to scale and shift)",
    DepthKind.AFFINE_DISPARITY: "no unit (1 / depth up to scale and shift)",
}


def of_depth(kind: DepthKind, limits: tuple[float, float]) -> str:
    """Of depth whose colours end at ``limits``, values of the map (depth or disparity)."""
    near, far = limits[::-1] if kind is DepthKind.AFFINE_DISPARITY else limits
    return f"red {near:.4g} (near) to dark blue {far:.4g} (far), {_UNITS[kind]}"


def of_change(full: float) -> str:
    """Of a change of depth with full colours at a relative change of ``full``."""
    return f"against the aligned depth: red {full:.1%} nearer, white no change, blue {full:.1%} farther"


def of_errors(full: float) -> str:
    """Of dots at sparse points, red from the relative error ``full`` on."""
    return (
        f"relative error of the stereo depth at sparse points: green 0%, yellow {full / 2:.1%}, red {full:.1%} or more"
    )
