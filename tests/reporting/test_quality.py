"""What the report says in words: grades, one row per photo, and what warnings mean."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.reporting.advice import advice_for
from lotus_recon.reporting.quality import grade, sentences, view_rows

ROOT = Path(__file__).resolve().parents[2]
FIGURES: dict[str, Any] = {
    "cameras": {"metric": True, "mean_reprojection_error_px": 0.256},
    "alignment of each view": [
        {"name": "a.jpg", "status": "points", "median_after": 0.02},
        {"name": "b.jpg", "status": "rejected", "median_after": None},
        {"name": "c.jpg", "status": "points", "median_after": 0.004},
    ],
    "stereo of each view": [
        {"name": "a.jpg", "status": "matched", "median_after": 0.001, "matched": 0.9},
        {"name": "b.jpg", "status": "excluded", "median_after": None, "matched": None},
    ],
    "consistency of each view": [{"name": "a.jpg", "contradicted": 0.25}],
    "mesh": {"seen_ratio": 0.884},
}


def test_grades() -> None:
    assert [grade(error) for error in (0.001, 0.002, 0.005, 0.02, 0.2)] == [
        "very good", "very good", "good", "fair", "poor",
    ]  # fmt: skip


def test_a_row_tells_the_last_word_on_each_photo() -> None:
    bars = {"views": [{"name": "b.jpg", "median_sigma_percent": 2.0}]}
    a, b, c = view_rows({**FIGURES, "uncertainty": bars})
    assert (a["error bar"], b["error bar"]) == (None, pytest.approx(1.645 * 0.02))
    assert (a["error"], a["grade"], a["photos decide"], a["contradicted"]) == (0.001, "very good", 0.9, 0.25)
    assert (b["grade"], b["depth"]) == ("not measured", "left out: its position is wrong")
    assert (c["error"], c["grade"], c["photos decide"]) == (0.004, "good", None)


def test_sentences_have_the_numbers() -> None:
    told = sentences({"figures": FIGURES, "photos": {"given": 4, "registered": ["a.jpg", "b.jpg", "c.jpg"]}})
    assert told[0].startswith("3 of 4 photos were registered")
    assert "Depth is good: in the median of 2 photos" in told[1]  # of 0.1 % and 0.4 %
    assert "0.25% of their distance, 7.5 mm at a distance of 3 m" in told[1]
    assert "0.26 pixels" in told[2]
    assert "88% of the surface" in told[3]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("held-out points", "(calibrated on 1,152 errors at held-out points)"),
        ("rendered rooms", "(calibrated on rendered rooms, not on this scene)"),
    ],
)
def test_a_sentence_says_how_long_error_bars_are(source: str, said: str) -> None:
    calibration = {"factor": 1.0, "half_sigmas": 0.5, "errors": 1152, "source": source}
    sigmas = {"median_sigma_percent": 0.2, "p90_sigma_percent": 3.0}  # bars: 1.645 of them
    figures = {"uncertainty": {"calibration": calibration, **sigmas, "views": []}}
    told = sentences({"figures": figures, "photos": {"given": 1, "registered": ["a.jpg"]}})
    assert "are at most 0.33% of depth in half of the pixels and 4.9% in nine of ten" in told[1]
    assert told[1].endswith(f"{said}.")


def test_a_run_without_figures_has_its_registration_only() -> None:
    assert len(sentences({"figures": {}, "photos": {"given": 1, "registered": ["a.jpg"]}})) == 1


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("sfm/from_scratch.py", "only with fallback settings"),
        ("alignment/stage.py", "could not be aligned"),
        ("mvs/stage.py", "is excluded as an outlier view"),
        ("mvs/stage.py", "little better than the predicted depth"),
        ("consistency/stage.py", "overlaps no other view"),
        ("consistency/stage.py", "contradict much of the depth"),
        ("meshing/stage.py", "the mesh hides"),
        ("texturing/stage.py", "the texture has"),
    ],
)
def test_warnings_that_stages_give_have_advice(file: str, part: str) -> None:
    source = re.sub(r'"\s*\n\s*"', "", (ROOT / "lotus_recon" / file).read_text())
    assert part in source, "the warning has another text by now"
    line = next(line for line in source.splitlines() if part in line)
    assert advice_for(line) is not None
    assert advice_for("something new") is None


# Rooms whose warnings end up in a report of multi_view.
ROOMS = (
    "sfm", "models", "alignment", "mvs", "adaptation", "normal_integration", "integration", "consistency", "fusion",
    "meshing", "texturing", "exporting", "io",
)  # fmt: skip
# Warnings that say all by themselves, or that a report of photos never has.
SAY_IT_ALL = ("%s", "K has its principal point")


def warnings_of(room: str) -> list[str]:
    """The text of every warning that the files of a room log, with its placeholders."""
    calls = [
        node
        for path in sorted((ROOT / "lotus_recon" / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "log.warning"
    ]
    return [ast.literal_eval(call.args[0]) for call in calls]


@pytest.mark.parametrize("room", ROOMS)
def test_every_warning_in_a_report_has_advice(room: str) -> None:
    without = [text for text in warnings_of(room) if advice_for(text) is None]
    assert [
        text for text in without if not any(text == each or text.startswith(each + " ") for each in SAY_IT_ALL)
    ] == []


@pytest.mark.parametrize(
    ("doubt", "word"),
    [
        ("3 of 20 photos could not be registered: a.jpg, b.jpg", "in common"),
        ("the photos are 2 groups that no matches connect: 'a_*' (5), 'b_*' (5); one is reconstructed", "--component"),
        ("points are seen under 0.8 degrees in the median: their depth is uncertain", "Step aside"),
        ("one homography explains 95% of the pairs: all that is seen lies in one plane", "Step aside"),
        ("the focal length of a.jpg became 1.90 times what its metadata or the options say", "keep it"),
        ("the estimated focal length of a.jpg is 7.10 longer edges, which few lenses have", "keep it"),
        ("focal length of 3 photos (a.jpg, ...): FocalLength 4 mm is of no use", "as the camera wrote them"),
        ("multi-view stereo runs on the CPU, many times slower than on the GPU: no Triton", "lotus-recon[gpu]"),
    ],
)
def test_doubts_about_a_model_have_the_right_advice(doubt: str, word: str) -> None:
    advice = advice_for(doubt)
    assert advice is not None
    assert word in advice.remedy
