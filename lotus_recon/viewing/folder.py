"""What there is to show in the output folder of a run, finished or not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lotus_recon.consistency.spec import CONSISTENCY, DEPTH
from lotus_recon.errors import InputError
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.stage_file import STAGE_FILE
from lotus_recon.types import Scene, SparsePoints
from lotus_recon.viewing import live
from lotus_recon.viewing.content import Content, Shown, content_of
from lotus_recon.viewing.scene import Files, facts_of, shown_scene

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


class LiveFolder:
    """The content of a folder, made again when something in it changed."""

    def __init__(self, out: Path, size: int) -> None:
        self._out, self._size = out, size
        self._cloud = live.LiveCloud(size)
        self._seen: Any = None
        self._content: Content | None = None

    def content(self) -> Content:
        """What there is to show now. Raises InputError for files that cannot be read."""
        seen = self._state()
        if self._content is None or seen != self._seen:
            self._content, self._seen = self._made(), seen
        return self._content

    def _state(self) -> Any:
        """Changes with every stage that is finished, and with what an unfinished one wrote."""
        infos = [(str(path), path.stat().st_mtime) for path in _stage_files(self._out)]
        progress = live.progress_of(self._out)
        written = len(list(progress.folder.rglob("*.npz"))) if progress is not None else 0
        return infos, progress, written, live.snapshot_of(self._out)

    def _made(self) -> Content:
        progress = live.progress_of(self._out)
        files = files_of(self._out, self._size)
        snapshot = live.snapshot_of(self._out)
        if not files.scene.views and snapshot is not None:
            files = replace(files, scene=live.scene_so_far(snapshot))
        versions = {name: version_of(path) for name, path in _made_from(self._out).items()}
        versions["atlas"] = f"{len(files.scene.views)} {version_of(self._out / 'images' / STAGE_FILE)}"
        versions["sparse"] = f"{len(files.scene.points.xyz)} {versions['sparse']}"
        files = replace(files, versions=versions, progress=progress.in_words if progress is not None else None)
        return content_of(self._with_cloud(shown_scene(files), progress), live=True)

    def _with_cloud(self, shown: Shown, progress: live.Progress | None) -> Shown:
        """The depth maps as points, until there is a dense cloud."""
        folder = live.depth_folder(self._out, progress, shown.scene)
        if "cloud" in shown.shapes or folder is None:
            return shown
        make = partial(self._cloud.part, shown.scene, folder, shown.photos, shown.frame)
        version = self._cloud.version(shown.scene, folder)
        return replace(shown, shapes={**shown.shapes, "cloud": make}, versions={**shown.versions, "cloud": version})


def _made_from(out: Path) -> dict[str, Path]:
    """The file whose change is a new version of a part."""
    mesh = [out / "mesh" / STAGE_FILE, out / "texture" / STAGE_FILE]
    return {
        "mesh": mesh[1] if mesh[1].is_file() else mesh[0],
        "cloud": out / "dense.ply",
        "sparse": out / "sfm" / f"frame.{STAGE_FILE}",
    }


def version_of(path: Path) -> str:
    """Changes with the file; empty where there is none."""
    return str(path.stat().st_mtime_ns) if path.is_file() else ""


def _stage_files(out: Path) -> list[Path]:
    return sorted(path for depth in ("", "*/", "*/*/") for path in out.glob(f"{depth}*{STAGE_FILE}"))


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
