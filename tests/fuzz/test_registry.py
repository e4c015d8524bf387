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
_CHILD = "models of Debian's packages: assimp and trimesh read them in children with limits; what fails is left out"
_SYSTEM = "of the kernel or of this package"
_HUB = "weights: read by diffusers, transformers and safetensors, whose errors are caught in one place (LOAD_ERRORS)"
_ASKED = "what a process of ours said"
_SCRATCH = "what the stage itself wrote a moment ago, or a killed run in its scratch folder, by rename"
_BYTES = "it takes any bytes"
_CONTROL = "a control of a page, for files that app/uploads.py looks at"

# Functions that open files and are no readers of files from outside, and why.
EXEMPT: dict[str, str] = {
    **dict.fromkeys(
        (
            "lotus_recon.adaptation.results:AdaptationResult.load",
            "lotus_recon.alignment.results:AlignmentResult.load",
            "lotus_recon.calibration.stage:Calibrated.load",
            "lotus_recon.consistency.stage:ConsistencyResult.load",
            "lotus_recon.exporting.stage:ExportResult.load",
            "lotus_recon.fusion.cloud:CloudResult.load",
            "lotus_recon.fusion.stage:FusionResult.load",
            "lotus_recon.io.maps:map_array",
            "lotus_recon.io.textured_meshes:_textured_mesh",
            "lotus_recon.io.textured_meshes:read_textured_glb",
            "lotus_recon.app.library:_json",
            "lotus_recon.viewing.folder:_json",
            "lotus_recon.viewing.scene:_spacing",
            "lotus_recon.meshing.stage:MeshResult.load",
            "lotus_recon.models.stage:PredictionResult.load",
            "lotus_recon.mvs.results:MvsResult.load",
            "lotus_recon.normal_integration.stage:IntegratedViews.load",
            "lotus_recon.reporting.stage:ReportResult.load",
            "lotus_recon.reporting.stage:run",
            "lotus_recon.sfm.frame:load",
            "lotus_recon.sfm.stage:_finished",
            "lotus_recon.sfm.images_stage:_is_rotated",
            "lotus_recon.sfm.stage:SfmResult.load",
            "lotus_recon.texturing.stage:TextureResult.load",
            "lotus_recon.video.prediction:PredictedFrames.load",
            "lotus_recon.video.steady:SteadyVideo.load",
            "lotus_recon.uncertainty.results:UncertaintyResult.load",
            "lotus_recon.training.ablation.measuring:load",
            "lotus_recon.training.ablation.running:_kept",
            "lotus_recon.training.ablation.vae:load_vae",
        ),
        _OURS,
    ),
    **dict.fromkeys(
        (
            "lotus_recon.adaptation.learning:Learning.run",
            "lotus_recon.alignment.stage:_solve",
            "lotus_recon.exporting.targets.nerfstudio:_Dataset.finish",
            "lotus_recon.models.stage:_take_kept",
            "lotus_recon.normal_integration.stage:_selected_scale",
            "lotus_recon.sfm.database:_read_colors",
            "lotus_recon.sfm.bundle_adjustment:_copy",
            "lotus_recon.sfm.triangulation:triangulate",
            "lotus_recon.synthetic.rooms.attribution:credits_of",
            "lotus_recon.training.augmentation:recoloured",
        ),
        _SCRATCH,
    ),
    **dict.fromkeys(
        (
            "lotus_recon.app.library:Place._write",
            "lotus_recon.evaluation.tables:_write_photos.write",
            "lotus_recon.exporting.map_files:write_exr.write",
            "lotus_recon.io.cameras:write_colmap_scene",
            "lotus_recon.io.maps:save_arrays.write",
            "lotus_recon.io.textured_meshes:write_usdz",
            "lotus_recon.io.video_writing:_writer",
            "lotus_recon.runners.scene:write_thumbnail",
            "lotus_recon.training.checkpoints:_write",
            "lotus_recon.training.run_folder:RunFolder.add_metrics",
        ),
        _WRITES,
    ),
    **dict.fromkeys(
        (
            "lotus_recon.compiled:_folder",
            "lotus_recon.app.parts:style",
            "lotus_recon.viewing.page:_text",
            "lotus_recon.uncertainty.scale:_all_learnt",
            "lotus_recon.evaluation.tables:published",
            "lotus_recon.exporting.blender_script:main",
            "lotus_recon.measuring:_control_group",
            "lotus_recon.measuring:_hierarchies",
            "lotus_recon.measuring:peak_memory_mb",
            "lotus_recon.native:_processor",
            "lotus_recon.sandbox:_data_bytes",
            "lotus_recon.training.imagenet:load_imagenet",
        ),
        _SYSTEM,
    ),
    **dict.fromkeys(
        [f"lotus_recon.synthetic.worlds.model_files:{name}" for name in ("_converted", "_picture", "_read_glb")],
        _CHILD,
    ),
    **dict.fromkeys(
        (
            "lotus_recon.models.lotus.parts:load_network",
            "lotus_recon.models.lotus.parts:load_schedule",
            "lotus_recon.models.lotus.prompt:_computed",
        ),
        _HUB,
    ),
    **dict.fromkeys(
        (
            "lotus_recon.app.guard:Guard._paths_in",
            "lotus_recon.native:_reports",
            "lotus_recon.runners.ray:RayRunner._fault",
            "lotus_recon.runners.ray_process:look",
            "lotus_recon.sandbox:arrays_in_child",
            "lotus_recon.training.tracking:_WandB.__init__",
        ),
        _ASKED,
    ),
    **dict.fromkeys(
        ("lotus_recon.viewing.serving:file_answer",),
        _BYTES,
    ),
    **dict.fromkeys(("lotus_recon.app.interface:_photo_tab", "lotus_recon.app.interface:_scene_tab"), _CONTROL),
}


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
