"""pipelines.view: what it serves, and what it says of other folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lotus_recon.errors import InputError
from pipelines.view import run


def test_a_folder_of_single_photos_names_their_pages(tmp_path: Path) -> None:
    page = tmp_path / "photo/view.html"
    page.parent.mkdir()
    page.touch()
    (tmp_path / ".owners.json").write_text(json.dumps({"photo": "photo.jpg"}))
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match=f"not an output folder .* of pipelines.multi_view.*open {page}"):
        run([str(tmp_path), "--no-open"])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an output folder"):
        run([str(tmp_path), "--no-open"])
    with pytest.raises(InputError, match="does not exist"):
        run([str(tmp_path / "none"), "--no-open"])
