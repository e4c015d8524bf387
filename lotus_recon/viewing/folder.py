"""What there is to show in the output folder of a run, finished or not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lotus_recon.consistency.spec import CONSISTENCY, DEPTH
from lotus_recon.errors import InputError
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.stage_file import STAGE_FILE
from lotus_recon.types import Scene, SparsePoints
from lotus_recon.viewing.scene import Files, facts_of

_DEPTH_FOLDERS = tuple(stage.name for stage in (CONSISTENCY, *DEPTH))  # the last stage first


def files_of(out: Path, size: int) -> Files:
    """The files of the stages that are finished. Raises InputError for files that cannot be read."""
    frame = _json(out / "sfm/frame.json")
    scene = _scene(out, frame)
    cloud, textured, mesh = (_existing(out / name) for name in ("dense.ply", "texture/mesh.glb", "mesh/mesh.ply"))
    return Files(
        title=title_of(out),
        scene=scene,
        images_dir=out / "images",
        prediction_dir=_newest(path.parent for path in out.glob(f"prediction/*/{STAGE_FILE}")),
        depth_dirs=[out / name for name in _DEPTH_FOLDERS if (out / name / STAGE_FILE).is_file()],
        mesh=mesh,
        textured=textured,
        cloud=cloud,
        facts=facts_of(_rows(out / "alignment/alignment.json"), _rows(out / "mvs/mvs.json")),
        poses_given=frame.get("scale_from") == "given poses",
        size=size,
    )


def title_of(out: Path) -> str:
    """The title of its report; before there is one, the name of the folder."""
    return str(_json(out / "report/report.json").get("title") or out.resolve().name)


def _scene(out: Path, frame: dict[str, Any]) -> Scene:
    if not frame:
        return Scene((), SparsePoints.empty())
    return read_colmap_scene(out / "sfm/sparse", metric=bool(frame.get("metric")))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _newest(folders: Iterable[Path]) -> Path | None:
    return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = _json(path).get("views", [])
    return [row for row in rows if isinstance(row, dict) and "name" in row and "status" in row]


def _json(path: Path) -> dict[str, Any]:
    """The mapping in a file; empty where there is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    return content if isinstance(content, dict) else {}
