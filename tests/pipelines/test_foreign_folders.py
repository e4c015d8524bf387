"""No pipeline writes into a folder of a person's own; into its own it writes again."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.errors import InputError
from tests.acceptance.small_cases import Case, write_cases

NAMES = ("single_view", "multi_view", "batch", "train", "evaluate")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return write_cases(tmp_path_factory.mktemp("cases"), NAMES)


def run(case: Case, out: Path, *more: str) -> int:
    pipeline: Any = importlib.import_module(case.module)
    return int(pipeline.run([*case.words(out), "--quiet", *more]))


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_other_files_is_refused(
    cases: dict[str, Case], name: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "2019").mkdir()
    (tmp_path / "2019/beach.jpg").write_bytes(b"of a person")
    (tmp_path / "readme.txt").write_text("mine")
    before = names_below(tmp_path)
    with pytest.raises(InputError, match=r"holds files of others \(2019, readme\.txt\); choose a new"):
        run(cases[name], tmp_path, *more)
    assert names_below(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_and_one_of_its_own_are_taken(cases: dict[str, Case], name: str, tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"of a file manager")
    for _ in range(2):
        assert run(cases[name], tmp_path) == 0
    (tmp_path / "notes.txt").write_text("a person may add to it")
    assert run(cases[name], tmp_path) == 0


def test_no_training_in_the_folder_of_a_reconstruction(cases: dict[str, Case], tmp_path: Path) -> None:
    assert run(cases["single_view"], tmp_path) == 0
    with pytest.raises(InputError, match="holds a reconstruction"):
        run(cases["train"], tmp_path)
