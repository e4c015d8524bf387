"""Which catalog there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms import assets
from lotus_recon.synthetic.rooms.assets import load_catalog
from tests.synthetic.rooms.sweethome3d_archives import by_id, write_archives


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with archives."""
    write_archives(tmp_path)
    return tmp_path


def test_a_folder_without_furniture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no furniture"):
        load_catalog(tmp_path)
    monkeypatch.setenv(assets.ASSETS_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(InputError, match="missing"):
        load_catalog()


def test_the_environment_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assets.ASSETS_VARIABLE, str(folder))
    assert by_id(load_catalog(), "Test#cube").name == "Café table"


def test_without_anything_installed_there_are_simple_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(assets.ASSETS_VARIABLE, raising=False)
    monkeypatch.setenv("LOTUS_RECON_WORK", str(tmp_path))
    monkeypatch.setattr(assets, "_SYSTEM_FOLDER", tmp_path)
    assert load_catalog().name == "procedural"
