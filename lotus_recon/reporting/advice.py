"""What warnings mean and what to do about them, in words for those who did not write the program."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """For the warnings whose text a pattern finds something in."""

    pattern: str
    meaning: str
    remedy: str


ADVICE = (
    Advice(
        "fallback settings|only .* photos are registered|not registered",
        "Some photos have few points in common with the others, so their positions are less sure, or missing.",
        "Take more photos from between these, with more than half of each photo in common with the next.",
    ),
    Advice(
        "focal length of",
        "The file does not say with which lens the photo was taken, or what it says is implausible.",
        "Give the photos as the camera wrote them, or name the lens: --focal-35mm, --fov-deg or --intrinsics.",
    ),
    Advice(
        "could not be aligned|held-out depth error|predicted geometry is unreliable",
        "The depth that the network predicts has another shape than the points that photos agree on.",
        "Where stereo decided (see the table of views) nothing is lost. Elsewhere: another --model, or photos that "
        "overlap these.",
    ),
    Advice(
        "no photo sees the same|overlaps no other view",
        "What this photo shows is in no other one, so nothing checks its depth.",
        "Take a second photo of that part from a place half a step aside.",
    ),
    Advice(
        "excluded as an outlier",
        "The photo does not show what the others show from its position: it was put in a wrong place, or things moved.",
        "Look at the photo in 3D; leave it out if the scene had changed.",
    ),
    Advice(
        "little better than the predicted depth",
        "Comparing photos told no more than was known: too little texture, blur, or very exact depth given.",
        "Nothing is wrong if the depth came from a sensor. Else sharper photos, and more light.",
    ),
    Advice(
        "disagree by more than|contradict much",
        "Depth maps of different photos put the same surface in different places; the contradicted part is dropped.",
        "Expect holes or a rough surface there; more photos that overlap, or better poses, help.",
    ),
    Advice(
        "coarser voxels",
        "Detail was given up to stay within the memory allowed.",
        "Raise --memory-gb, or limit the scene with --max-depth-ratio.",
    ),
    Advice(
        "mesh hides",
        "Surface that no photo shows was filled in and stands before something that photos do show.",
        "--min-confidence 0.5 leaves out what was filled in; --background drop that of plain backgrounds.",
    ),
    Advice(
        "the texture has",
        "The photos show finer detail than the texture has room for.",
        "Raise --texture-size or --texture-budget.",
    ),
    Advice(
        "on the CPU|no CUDA device",
        "The graphics card was not used for this step, which then takes longer. The result is the same.",
        "Install the extra gpu, or leave it if there is time.",
    ),
    Advice(
        "normals increase|no predicted normals|no overlapping views",
        "Normals of the network could not improve the depth here.",
        "--fusion tsdf does without them.",
    ),
    Advice(
        "masks of|no valid pixel",
        "Nothing is left of these photos.",
        "Check that the masks are white where a photo is to be used.",
    ),
)


def advice_for(warning: str) -> Advice | None:
    """What is known about a warning, by its text; None where that is nothing beyond the text."""
    return next((advice for advice in ADVICE if re.search(advice.pattern, warning)), None)
