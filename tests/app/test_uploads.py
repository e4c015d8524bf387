"""What is taken, what is refused, and that pixels are not decoded for it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lotus_recon.app.uploads import Limits, take_photo, take_scene
from lotus_recon.errors import InputError
from tests.app.serving import write_photo


def photos(folder: Path, *names: str) -> list[Path]:
    """Small photos, each in a folder of its own, as gradio keeps uploads."""
    paths = []
    for number, name in enumerate(names):
        (folder / str(number)).mkdir()
        paths.append(write_photo(folder / str(number) / name))
    return paths


def test_photos_keep_their_bytes_and_get_names_that_differ(tmp_path: Path) -> None:
    given = photos(tmp_path, "a.jpg", "A.JPG", "a.png", ".hidden.jpg")
    taken = take_scene(given, tmp_path / "photos", Limits())
    names = {path.name: path.read_bytes() for path in taken.iterdir()}
    assert sorted(names) == ["A_2.jpg", "a.jpg", "a_3.png", "hidden.jpg"]
    assert names["a_3.png"] == given[2].read_bytes()


def test_a_text_file_with_the_name_of_a_photo_is_refused_by_its_name(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("Dear diary")
    with pytest.raises(InputError, match=r"^notes\.jpg cannot be read as an image: not an image file$"):
        take_photo([text], tmp_path / "given", Limits())
    with pytest.raises(InputError, match=r"(?s)^1 of 2 files cannot be used:\nnotes\.jpg"):
        take_scene([text, *photos(tmp_path, "a.jpg")], tmp_path / "given", Limits())
    assert not (tmp_path / "given").exists()


def test_large_files_are_refused_by_their_size(tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(InputError, match=r"^large\.jpg has 200 MB; a photo may have 100 MB$"):
        take_photo([large], tmp_path / "given", Limits())
    large.rename(tmp_path / "large.mp4")
    with pytest.raises(InputError, match=r"^large\.mp4 has 200 MB; a video may have 150 MB$"):
        take_scene([tmp_path / "large.mp4"], tmp_path / "given", Limits(video_mb=150))


def test_too_many_pixels_are_refused_from_the_header_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    bomb = tmp_path / "bomb.png"
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"")]  # 1600 megapixels that are not even there
    parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(InputError, match=r"^bomb\.png has 1600 megapixels; at most 80"):
        take_photo([bomb], tmp_path / "given", Limits())


def test_what_makes_no_scene_is_said(tmp_path: Path) -> None:
    one, two = photos(tmp_path, "a.jpg", "b.jpg")
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"x")
    for files, words in (
        ([], "drop photos"),
        ([one], "one photo makes no scene"),
        ([one, video], "comes alone"),
        ([one, two, one], "at most 2 are taken"),
    ):
        with pytest.raises(InputError, match=words):
            take_scene(files, tmp_path / "given", Limits(photos=2))
    with pytest.raises(InputError, match="one photo is taken here"):
        take_photo([one, two], tmp_path / "given", Limits())
    assert take_scene([video], tmp_path / "given", Limits()).name == "clip.mp4"
