"""Public functions that take or give arrays say of what shape."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "lotus_recon").rglob("*.py"))
ALIAS = re.compile(r"^(\w+) = NDArray\[", re.MULTILINE)  # such as RgbImage = NDArray[np.uint8]
ARRAYS = {"NDArray", "ndarray", "Tensor"} | {alias for m in MODULES for alias in ALIAS.findall((ROOT / m).read_text())}

# One dimension: ..., a number, a letter, or a product such as 2 B, 2n or H / cell_px. ``(N,)`` is a shape, ``(N)`` not.
_DIMENSION = r"(?:\.\.\.|\d+(?: ?[A-Z]|n)?|[A-Z]\w*'?|[chwnmt])(?: ?[-+*/] ?\w+)*"
SHAPE = re.compile(rf"\({_DIMENSION},(?: ?{_DIMENSION},?)*\)|\b\d-d\b|\b\dx\d\b|[Aa]ny shape")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Name and definition of public functions, and of public methods of public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


def has_arrays(function: Function) -> bool:
    """Whether an annotation names an array or a tensor, alone or in a container."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments] + [function.returns]
    names = {
        node.id if isinstance(node, ast.Name) else node.attr
        for annotation in annotations
        if annotation is not None
        for node in ast.walk(annotation)
        if isinstance(node, (ast.Name, ast.Attribute))
    }
    return not ARRAYS.isdisjoint(names)


def without_shape(path: Path) -> set[str]:
    """Names of the public functions of a module with arrays whose docstring lacks a shape."""
    return {
        name
        for name, function in public_functions(ast.parse(path.read_text()))
        if has_arrays(function) and not SHAPE.search(ast.get_docstring(function) or "")
    }


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_give_shapes(module: str) -> None:
    assert not without_shape(ROOT / module)


@pytest.mark.parametrize(
    ("text", "is_shape"),
    [
        ("Points (N, 3) moved by a 4x4 matrix.", True),
        ("(H, W) True where", True),
        ("values (N,)", True),
        ("grid (B, 4, h/8, w/8)", True),
        ("noise (2 B, 4, h, w)", True),
        ("Transform points (..., 3).", True),
        ("a 0-d tensor", True),
        ("at pixel (x, y)", False),
        ("a point (red, green, blue)", False),
        ("sorted (N)", False),
        ("what it is (of the scene, if known)", False),
    ],
)
def test_shapes_are_told_from_other_brackets(text: str, is_shape: bool) -> None:
    assert bool(SHAPE.search(text)) == is_shape
