"""What pip installs: built from the source distribution, put into a folder of its own and started from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_PARTS = ("lotus_recon", "pipelines", "configs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel, made from the source distribution, was installed."""
    work = tmp_path_factory.mktemp("packaging")
    source = work / "source"
    for part in _PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(work)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
        archive.extractall(work / "unpacked")
    unpacked = next((work / "unpacked").iterdir())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(work / "site"), str(unpacked)], check=True, capture_output=True)
    return work / "site"


def started(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, in a folder that is not the checkout."""
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, str(site / "bin/lotus-recon"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_nothing_else_is_installed_at_the_top(site: Path) -> None:
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"lotus_recon", "pipelines", "bin"}
    assert (site / "lotus_recon/models/nano/weights").is_dir()


@pytest.mark.parametrize("part", _PARTS)
def test_every_file_is_installed(site: Path, part: str) -> None:
    """What git knows of; the weights and presets are as needed as the code."""
    known = subprocess.run(["git", "ls-files", part], cwd=ROOT, capture_output=True, text=True)
    if known.returncode != 0 or not known.stdout:
        pytest.skip("not a checkout of git")
    top = site / "pipelines" if part == "configs" else site
    missing = [name for name in known.stdout.split() if not (top / name).is_file()]
    assert [name for name in missing if (ROOT / name).exists() and not name.endswith((".md", ".gitignore"))] == []


def test_the_command_works_from_any_folder(site: Path, tmp_path: Path) -> None:
    shown = started(site, tmp_path, "multi", "--preset", "fine", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "usage: lotus-recon multi FOLDER|VIDEO" in shown.stdout
    wrong = started(site, tmp_path, "multi", "nowhere", "--oout", "x")
    assert (wrong.returncode, wrong.stderr) == (2, "error: unknown option --oout; did you mean --out?\n")
    assert started(site, tmp_path, "--version").stdout.startswith("lotus-recon ")
    unknown = started(site, tmp_path, "mutli")
    assert (unknown.returncode, unknown.stderr) == (2, "error: unknown command 'mutli'; did you mean 'multi'?\n")
