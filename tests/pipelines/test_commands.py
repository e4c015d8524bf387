"""lotus-recon: its words, what it says of this machine, and what a shell completes."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from lotus_recon.errors import InputError
from pipelines import __main__ as main
from pipelines import completion, doctor
from pipelines.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def test_every_pipeline_is_a_command() -> None:
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py") if "main(run)" in path.read_text()}
    assert modules - {"__main__"} == {module for module, _ in COMMANDS.values()}


@pytest.mark.parametrize("word", COMMANDS)
def test_a_command_names_itself_in_its_help(word: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pipelines", word, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert f"lotus-recon {word}" in shown.stdout or word == "evaluate"


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"unknown command 'singel'; did you mean 'single'\?"):
        main.run(["singel"])
    assert main.run([]) == 2
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr()
    assert shown.out == shown.err != ""


def test_doctor_names_what_is_missing_and_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        "rich>=13",
        "torch>=99",
        "left-pad",
        'no-such; extra == "usd"',
        'ruff; extra == "dev"',
        'x; os_name == "no"',
    ]
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asked)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.4.0+cpu" if name == "torch" else real(name))
    monkeypatch.setattr("lotus_recon.native.failures", lambda names: {})
    found = {each.name: each for each in doctor.dependencies()}
    assert list(found) == ["left-pad", "rich", "torch", "no-such"]
    assert found["rich"].problem == ""
    assert found["torch"].problem == ">=99 is needed: pip install --upgrade 'torch>=99'"
    assert found["left-pad"].problem == "not installed: pip install 'left-pad'"
    assert found["no-such"].problem == "not installed: pip install 'lotus-recon[usd]'"


def test_doctor_says_what_a_library_that_aborts_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["open3d", "rich"])
    monkeypatch.setattr("lotus_recon.native.failures", lambda names: {name: f"{name}: apt" for name in names})
    assert {each.name: each.problem for each in doctor.dependencies()} == {"open3d": "open3d: apt", "rich": ""}


def test_doctor_ends_with_1_where_a_run_could_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for requirement, status in (("no-such", 1), ('no-such; extra == "usd"', 0)):
        monkeypatch.setattr(importlib.metadata, "requires", lambda _, asked=requirement: [asked])
        assert doctor.run([]) == status
    shown = capsys.readouterr().out
    assert "no-such" in shown
    assert "torch" in shown


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("mul", "multi"),
        ("multi --adapt-s", "--adapt-steps"),
        ("multi --no-textu", "--no-texture"),
        ("single --preset x --surf", "--surface"),
        ("evaluate dep", "depth"),
    ],
)
def test_bash_completes(line: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert completion.run(["bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    words = ["lotus-recon", *line.split()]
    code = f"source ./script; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_lotus_recon; "
    shown = subprocess.run(
        ["bash", "-c", f'{code} echo "${{COMPREPLY[@]}}"'], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.stdout.split() == [found], shown.stderr


def test_an_unknown_shell_is_refused() -> None:
    with pytest.raises(InputError, match="shell 'cmd' is unknown; allowed: bash"):
        completion.run(["cmd"])
