"""The architecture, enforced: imports only go down, siblings stay apart, large libraries stay in their rooms."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the top to the bottom: what stands on a line may import what stands below it, and nothing else. The ``config.py``
# of a room imports no room, so it counts as the bottom.
LAYERS = (
    "pipelines",
    "app",
    "runners",
    "training",
    "evaluation",
    "recipes",
    "reporting",
    "viewing",
    "exporting",
    "texturing",
    "meshing",
    "fusion",
    "uncertainty",
    "consistency",
    "normal_integration",
    "adaptation",
    "mvs",
    "alignment",
    "video",
    "calibration",
    "models",
    "sfm",
    "frames",
    "datasets",
    "synthetic",
    "scene_job",
    "photo_job",
    "stages",
    "integration",
    "io",
    "logs",
    "config",
    "renamed",
    "options",
    "bounded_yaml",
    "content",
    "foreign_files",
    "workspace",
    "stage_file",
    "measuring",
    "durable",
    "progress",
    "colmap",
    "interruption",
    "threads",
    "processes",
    "geometry",
    "sandbox",
    "native",
    "compiled",
    "cache",
    "limits",
    "types",
    "outside",
    "errors",
)
FENCES = {
    "pycolmap": ("lotus_recon/colmap.py",),
    "lotus_recon.colmap": ("lotus_recon/sfm/", "lotus_recon/io/cameras.py"),
    "open3d": (
        "lotus_recon/fusion/",
        "lotus_recon/meshing/",
        "lotus_recon/texturing/",
        "lotus_recon/synthetic/",
        "lotus_recon/evaluation/",
        "lotus_recon/reporting/",
        "lotus_recon/io/meshes.py",
    ),
    "diffusers": ("lotus_recon/models/lotus/", "lotus_recon/training/"),
    "peft": ("lotus_recon/adaptation/lora.py",),
    "transformers": ("lotus_recon/models/lotus/", "lotus_recon/training/"),
    "gradio": ("lotus_recon/app/",),
    "starlette": ("lotus_recon/app/",),
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


def allowed(source: str, dotted: str) -> bool:
    target = room(dotted)
    if target is None or target == source or target.startswith("__"):  # __version__ is a name of the package itself
        return True
    assert source in LAYERS, f"room {source!r} has no place in LAYERS"
    assert target in LAYERS, f"room {target!r} has no place in LAYERS"
    is_options = dotted.removeprefix(f"lotus_recon.{target}.").startswith("config.")
    return is_options or LAYERS.index(target) > LAYERS.index(source)


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
        if any(f"{name}.".startswith(f"{library}.") for name in imports(path))
        and not str(path.relative_to(ROOT)).startswith(FENCES[library])
    ]
    assert not outside, f"{library} may only be imported in {FENCES[library]}"


def test_options_import_only_the_standard_library_and_their_bounds() -> None:
    light = (*sys.stdlib_module_names, "annotated_types")
    files = [p for p in (ROOT / "lotus_recon").glob("*/*config.py") if p.parent.name != "recipes"]
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imports(path)
        if name.split(".")[0] not in light and not name.startswith(("lotus_recon.limits", "lotus_recon.options"))
    }
    assert files
    assert not foreign


def import_graph() -> dict[str, set[str]]:
    """Which of our files each of them imports, also inside functions and for type checkers; names with dots."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in modules()
    }
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        found = {next((n for n in (dotted, dotted.rpartition(".")[0]) if n in files), "") for dotted in imports(path)}
        graph[name] = found - {"", name}
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The files of a circle of imports, in order; empty when there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle_in(import_graph()) == []


def test_the_rules_catch_what_they_forbid() -> None:
    assert not allowed("geometry", "lotus_recon.io.maps")
    assert not allowed("sfm", "lotus_recon.fusion.stage")
    assert not allowed("alignment", "lotus_recon.consistency.stage")
    assert allowed("alignment", "lotus_recon.sfm.stage")
    assert allowed("alignment", "lotus_recon.consistency.config.ConsistencyConfig")
    assert not allowed("evaluation", "lotus_recon.training.loop")
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()})
