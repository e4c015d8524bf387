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
        "groups that no matches connect",
        "The folder holds photos of several places, or nothing shows how its parts belong together.",
        "--component reconstructs another group; photos that show parts of both join them.",
    ),
    Advice(
        "degrees in the median|one homography explains",
        "The camera was turned, hardly moved, or saw nothing but one plane: little tells the depth, or the lens.",
        "Step aside between photos instead of turning, with more than one surface in view; on a turntable, mask the "
        "background.",
    ),
    Advice(
        "times what its metadata|longer edges, which few",
        "Photos alone gave a lens that is not the one named, or hardly exists: the scene may be stretched in depth.",
        "Photos from more directions; or name the lens with --focal-35mm, or keep it with --intrinsics.",
    ),
    Advice(
        "the lens model",
        "What was found of the lens holds for the middle of the photo only; the corners are cut off.",
        "--camera-model OPENCV_FISHEYE for a very wide lens; else photos whose corners show what others show, too.",
    ),
    Advice(
        "have no pose|no points at the given poses",
        "The poses that were given are not of these photos, or not of all of them.",
        "Compare names in the file with those of the photos, and its axes with what --poses expects.",
    ),
    Advice(
        "keys are not used",
        "The file says something that this program cannot use; all else in it counts.",
        "See whether it matters: a distortion left out does, a comment does not.",
    ),
    Advice(
        "left out: photos end in",
        "The folder holds pictures of a kind that is not read.",
        "If they are photos, convert them, to PNG say; if not, all is well.",
    ),
    Advice(
        "EXIF turns or mirrors",
        "A camera wrote photos on their side, and nothing says whether their masks are.",
        "Look in the report whether masks lie on their photos; if not, turn the masks upright.",
    ),
    Advice(
        "nothing is added to the finished model",
        "New photos did not fit the model that was there, so all was estimated anew: poses may have moved.",
        "The warning says why. To keep the model, take photos that overlap it, with the options of before.",
    ),
    Advice(
        "have no prediction",
        "Stored maps are missing for these photos; they get the depth that other photos decide, if any.",
        "Name the maps after the photos, or leave the photos out (--exclude).",
    ),
    Advice(
        "brought to the",
        "Stored maps are smaller or larger than their photos and were resized, so that they are less sharp.",
        "Nothing, or maps of the size of the photos.",
    ),
    Advice(
        "beyond the plausible depth",
        "All depth of this photo is far nearer or farther than the points of the scene, so none of it is used.",
        "Nothing where the photo shows sky or something before the lens. Else another --model.",
    ),
    Advice(
        "fallback settings|only .* photos are registered|could not be registered",
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
        "For stereo: pip install 'lotus-recon[gpu]'; for fusion: an Open3D built with CUDA. Or leave it.",
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
    Advice(
        "did not converge",
        "The surface that belongs to these normals was still changing when its rounds were used up.",
        "Look at the mesh there; --fusion tsdf does without normals.",
    ),
    Advice(
        "photo colours the mesh|in a single colour",
        "Few photos decide the colours, so one that is wrong shows.",
        "More photos of that surface; --include and --exclude choose them.",
    ),
    Advice(
        "are exported without",
        "No depth is left of these photos; the other tool gets them without.",
        "See in the table of views why they have none, or leave them out (--exclude).",
    ),
    Advice(
        "out of memory with a batch",
        "The network takes fewer photos at a time from now on. The result is the same.",
        "Nothing; a smaller --processing-res takes less memory.",
    ),
    Advice(
        "the network runs in float32|run without --compile",
        "The network computes in another way than was asked for, which takes longer.",
        "Nothing, or without --dtype and --compile, so that nothing is asked for.",
    ),
    Advice(
        "of its 16 bits",
        "The file holds the numbers of a sensor of fewer bits, which would look nearly black as they are.",
        "Nothing; or export the photos with their full range.",
    ),
    Advice(
        "the image moves by only",
        "The camera of the video stood still, or nearly.",
        "Film while walking; or a smaller --frame-motion.",
    ),
    Advice(
        "runs again|written again|computed again|kept features",
        "Files of an earlier run were lost or damaged, and are made again.",
        "Nothing, if you deleted them. Else look after the disk.",
    ),
)


def advice_for(warning: str) -> Advice | None:
    """What is known about a warning, by its text; None where that is nothing beyond the text."""
    return next((advice for advice in ADVICE if re.search(advice.pattern, warning)), None)
