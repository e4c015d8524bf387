"""What the report says in words: grades, one row per photo, and what warnings mean."""

from __future__ import annotations

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
    a, b, c = view_rows(FIGURES)
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
