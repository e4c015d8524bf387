"""Flat names: plain, and each photo its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lotus_recon.exporting.names import flat_names

PARTS = st.text(alphabet="aAbÉé 写._-1", min_size=1, max_size=4).filter(lambda text: text.strip(". ") != "")


def test_names_stay_legible() -> None:
    names = ["IMG_0001.JPG", "left/IMG_0001.JPG", "été 2/ça.png", "写真.heic", "a.b.tif"]
    assert flat_names(names) == ["IMG_0001.jpg", "left_IMG_0001.jpg", "ete_2_ca.png", "photo.png", "a_b.png"]


def test_names_that_would_be_the_same_are_numbered() -> None:
    assert flat_names(["a b.jpg", "a/b.jpg", "A_B.png", "a_b_2.jpg"]) == [
        "a_b.jpg",
        "a_b_2.jpg",
        "A_B_3.png",
        "a_b_2_2.jpg",
    ]


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), unique=True, max_size=20))
def test_no_two_photos_share_a_stem_even_where_case_does_not_count(names: list[str]) -> None:
    stems = [flat.rpartition(".")[0].casefold() for flat in flat_names([f"{name}.jpg" for name in names])]
    assert len(set(stems)) == len(stems)
    assert all(stem.isascii() and stem.replace("-", "_").replace("_", "a").isalnum() for stem in stems)
