"""Whom the assets of a data set come from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from lotus_recon.synthetic.rooms.attribution import credits_of, write_attribution
from lotus_recon.synthetic.rooms.files import SceneFolder
from lotus_recon.synthetic.rooms.scene import Credit
from lotus_recon.workspace import write_json

CHAIR, LAMP = Credit("Chair | red", "Ann", "CC-BY 3.0"), Credit("Lamp", "Bob", "CC0")


def test_every_asset_is_listed_once_with_the_number_of_rooms_that_show_it(tmp_path: Path) -> None:
    for number, credits in enumerate([[CHAIR, CHAIR, LAMP], [CHAIR]]):
        folder = SceneFolder.of_number(tmp_path, number)
        folder.path.mkdir()
        write_json(folder.metadata, {"credits": [asdict(credit) for credit in credits]})
    write_attribution(tmp_path)
    text = (tmp_path / "ATTRIBUTION.md").read_text()
    assert "The 2 rooms" in text
    rows = text.splitlines()[-2:]
    assert rows == ["| Chair \\| red | Ann | CC-BY 3.0 | 2 |", "| Lamp | Bob | CC0 | 1 |"]
    assert credits_of(SceneFolder.of_number(tmp_path, 1)) == [CHAIR]
