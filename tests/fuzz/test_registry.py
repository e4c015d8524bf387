"""The contract of the fuzz suite: whoever opens a file in this package is a reader in it, or has a reason not to be."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pytest

from tests.fuzz.readers import READERS
from tests.fuzz.sanity import check_sane

ROOT = Path(__file__).resolve().parents[2]

# Calls that take bytes of a file in, as they are written.
OPENS = re.compile(
    r"(^|\.)(read_bytes|read_text|imread|imdecode|loadtxt|genfromtxt|fromfile|loadmat|read_triangle_mesh|"
    r"read_point_cloud|load_file|from_pretrained|DictReader|ZipFile|Unpickler|_ArraysOnly)$"
    r"|^(np|torch)\.load$|^json\.loads?$|^(Image|tarfile|av|iio)\.open$|\.File$|^open$|^PlyData\.read$"
    r"|^pycolmap\.Reconstruction$"
)

_OURS = "a result of a stage: its files and their sizes are checked against stage.json before it is read"
_WRITES = "it writes"
_SYSTEM = "of the kernel or of this package"
_HUB = "weights: read by diffusers, transformers and safetensors, whose errors are caught in one place (LOAD_ERRORS)"
_ASKED = "the report of a process of ours"

# Functions that open files and are no readers of files from outside, and why.
EXEMPT: dict[str, str] = {}


def opening_functions() -> Iterator[str]:
    """``module:function`` of all in the package that open files."""
    for path in sorted((ROOT / "lotus_recon").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in _in(ast.parse(path.read_text()), ()):
            yield f"{module}:{name}"


def _in(node: ast.AST, names: tuple[str, ...]) -> Iterator[str]:
    """Names of the functions below a node that call something of ``OPENS``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from dict.fromkeys(_in(child, (*names, child.name)))
            continue
        if isinstance(child, ast.Call) and OPENS.search(ast.unparse(child.func)):
            yield ".".join(names)
        yield from _in(child, names)


def called_by_readers(folder: Path) -> set[str]:
    """``module:function`` of all in the package that run while every reader reads its valid input."""
    called: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("lotus_recon"):
            called.add(f"{module}:{frame.f_code.co_qualname.replace('<locals>.', '')}")

    for i, reader in enumerate(READERS.values()):
        place = folder / str(i)
        place.mkdir()
        reader.write(place)
        sys.setprofile(note)
        try:
            check_sane(reader.read(place))
        finally:
            sys.setprofile(None)
    return called


def _here(read: Any, path: Path, what: str) -> Any:
    return read(path)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code objects do not know their qualified names")
def test_whoever_opens_files_is_fuzzed_or_has_a_reason(tmp_path: Path) -> None:
    with (
        mock.patch("lotus_recon.io.meshes.arrays_in_child", _here),
        mock.patch("lotus_recon.evaluation.surface_masks.arrays_in_child", _here),
    ):
        called = called_by_readers(tmp_path)
    opening = set(opening_functions())
    assert sorted(opening - called - set(EXEMPT)) == [], "add readers to tests/fuzz/readers.py"
    assert sorted(set(EXEMPT) & called) == [], "they are read by the fuzzer: no reason is needed"
    assert sorted(set(EXEMPT) - opening) == [], "they open no file"


def test_a_new_function_that_opens_files_is_found() -> None:
    tree = ast.parse("class A:\n    def read_it(self, path):\n        return json.loads(path.read_text())\n")
    assert list(dict.fromkeys(_in(tree, ()))) == ["A.read_it"]
    assert list(_in(ast.parse("def harmless(maps):\n    return maps.load('view')\n"), ())) == []
