"""The architecture, enforced: imports only go down, siblings stay apart, large libraries stay in their rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the top to the bottom. A room may import any room on a lower line.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"pipelines"}),
    frozenset({"runners"}),
    frozenset({"recipes"}),
    frozenset(
        [
            "models",
            "sfm",
            "alignment",
            "refinement",
            "consistency",
            "fusion",
            "frames",
            "meshing",
            "normal_integration",
            "calibration",
            "synthetic",
            "datasets",
            "evaluation",
            "training",
            "reporting",
        ]
    ),
    frozenset({"integration", "io"}),
    frozenset({"workspace", "config", "logs", "processes", "progress", "threads"}),
    frozenset({"geometry"}),
    frozenset({"types", "errors"}),
)
SIBLINGS_ALLOWED = {
    "fusion": {"meshing"},
    "training": {"models", "datasets", "evaluation.metrics", "reporting"},
    "evaluation": {"models", "datasets"},
    "datasets": {"synthetic"},
    "workspace": {"config", "progress"},
    "config": {"workspace"},
    "types": {"errors"},
}
FENCES = {
    "pycolmap": ("lotus_recon/sfm/", "lotus_recon/io/cameras.py"),
    "open3d": (
        "lotus_recon/fusion/",
        "lotus_recon/meshing/",
        "lotus_recon/synthetic/",
        "lotus_recon/evaluation/",
        "lotus_recon/reporting/",
        "lotus_recon/io/meshes.py",
    ),
    "diffusers": ("lotus_recon/models/lotus/", "lotus_recon/training/"),
    "transformers": ("lotus_recon/models/lotus/", "lotus_recon/training/"),
    "ray": ("lotus_recon/runners/ray.py",),
}
STANDARD_ONLY = ("config.py",)


def modules() -> list[Path]:
    return sorted([*(ROOT / "lotus_recon").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all that a module imports, also inside functions; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(dotted: str) -> str | None:
    """The room a dotted name lies in; None for what is not ours."""
    parts = dotted.split(".")
    if parts[0] == "pipelines":
        return "pipelines"
    return parts[1] if parts[0] == "lotus_recon" and len(parts) > 1 else None


def level(name: str) -> int | None:
    return next((i for i, names in enumerate(LAYERS) if name in names), None)


def allowed(source: str, dotted: str) -> bool:
    target = room(dotted)
    if target is None or target == source:
        return True
    below, here = level(target), level(source)
    if below is None:  # a name of the package itself, such as __version__
        return target.startswith("__")
    assert here is not None, f"room {source!r} has no place in LAYERS"
    names = SIBLINGS_ALLOWED.get(source, set())
    sibling = any(dotted.removeprefix("lotus_recon.").startswith(name) for name in names)
    return below > here or (below == here and sibling)


def room_of_file(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "pipelines" if parts[0] == "pipelines" else parts[1]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path: Path) -> None:
    if path == ROOT / "lotus_recon/__init__.py":
        assert list(imports(path)) == []
        return
    wrong = [name for name in imports(path) if not allowed(room_of_file(path), name)]
    assert not wrong, f"{path.relative_to(ROOT)} may not import {wrong}"


@pytest.mark.parametrize("library", FENCES)
def test_large_libraries_stay_in_their_rooms(library: str) -> None:
    outside = [
        str(path.relative_to(ROOT))
        for path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
        and not str(path.relative_to(ROOT)).startswith(FENCES[library])
    ]
    assert not outside, f"{library} may only be imported in {FENCES[library]}"


def test_stage_configs_import_only_the_standard_library() -> None:
    import sys

    files = [p for p in (ROOT / "lotus_recon").glob("*/config.py") if p.parent.name != "recipes"]
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert files
    assert not foreign


def test_the_rules_catch_what_they_forbid() -> None:
    assert not allowed("geometry", "lotus_recon.io.maps")
    assert not allowed("sfm", "lotus_recon.fusion.tsdf")
    assert not allowed("evaluation", "lotus_recon.fusion")
    assert allowed("training", "lotus_recon.evaluation.metrics")
    assert not allowed("training", "lotus_recon.evaluation.protocols")
    assert allowed("recipes", "lotus_recon.sfm.stage")
