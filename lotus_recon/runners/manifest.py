"""The scenes of a batch from a folder, a YAML manifest, a CSV table or text, every problem of all of them at once."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.bounded_yaml import load_bounded
from lotus_recon.config import nearest
from lotus_recon.errors import InputError
from lotus_recon.runners.building import SCENE_KEYS, Defaults, build_job, has_photos, videos_in
from lotus_recon.runners.jobs import SceneJob, name_key

log = logging.getLogger(__name__)

MANIFEST_SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".txt")
_SHOWN = 40  # characters of a name or a path in a message


@dataclass(frozen=True)
class Problem:
    """What is wrong with one scene."""

    scene: str
    where: str  # its place in the manifest
    message: str


class ManifestError(InputError):
    """Problems of a manifest, all of them."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = problems
        lines = [f"  {one.scene} ({one.where}): {one.message}" for one in problems]
        super().__init__("\n".join([f"problems in {source}: {len(problems)}; nothing was started:", *lines]))


@dataclass(frozen=True)
class _Entry:
    """One scene as written."""

    where: str
    values: Mapping[str, Any]


def read_jobs(source: str, defaults: Defaults, standard_input: str | None = None) -> list[SceneJob]:
    """The jobs that ``source`` names: a folder of scenes, a manifest file, or ``-`` for ``standard_input``.

    Relative paths are those of the manifest's folder (of the working folder for ``-``). Raises InputError when the
    source as a whole cannot be read, ManifestError with all problems of all scenes.
    """
    path = Path(source)
    if source == "-":
        entries, defaults = _entries_of_text(standard_input or "", "standard input", defaults, "")
        return _build(entries, defaults, Path.cwd(), "standard input")
    if path.is_dir():
        return _build(list(_scenes_below(path)), defaults, Path.cwd(), str(path))
    if not path.is_file():
        raise InputError(f"{source}: no such folder or manifest")
    if path.suffix.lower() not in MANIFEST_SUFFIXES:
        raise InputError(f"{source} is no manifest; allowed: a folder of scenes, {', '.join(MANIFEST_SUFFIXES)}, or -")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"manifest {source} cannot be read: {error}") from None
    entries, defaults = _entries_of_text(text, f"manifest {source}", defaults, path.suffix.lower())
    return _build(entries, defaults, path.resolve().parent, f"manifest {source}")


def _build(entries: list[_Entry], defaults: Defaults, base: Path, source: str) -> list[SceneJob]:
    if not entries:
        raise InputError(f"{source} names no scene")
    jobs: list[SceneJob] = []
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    for entry in entries:
        name = str(entry.values.get("name", "?"))
        try:
            job = build_job(entry.values, defaults, base)
            other = taken.setdefault(name_key(job.name), entry.where)
            if other is not entry.where:
                raise InputError(f"the scene at {other} has this name, and so the same output folder")
            jobs.append(job)
        except (InputError, OSError) as error:  # OSError: of a path that no file could have
            said = (
                str(error) if isinstance(error, InputError) else f"...{str(error.filename)[-_SHOWN:]}: {error.strerror}"
            )
            problems.append(Problem(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...", entry.where, said))
    if problems:
        raise ManifestError(source, problems)
    return jobs


def _scenes_below(root: Path) -> Iterator[_Entry]:
    """Sub-folders with photos (directly, in ``images/`` or deeper) or one video; others are left out with a warning."""
    names = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    empty = []
    for folder in names:
        images = folder / "images" if (folder / "images").is_dir() else folder
        videos = videos_in(folder)
        if has_photos(images):
            yield _Entry(folder.name, {"name": folder.name, "images": str(images.resolve())})
        elif len(videos) == 1:
            yield _Entry(folder.name, {"name": folder.name, "video": str(videos[0].resolve())})
        else:
            empty.append(folder.name)
    if empty:
        log.warning("%d folders without photos or a single video are left out: %s", len(empty), ", ".join(empty[:10]))
    if len(empty) == len(names):
        raise InputError(f"{root} has no sub-folder with photos; each scene of a batch is a sub-folder")


def _entries_of_text(text: str, where: str, defaults: Defaults, suffix: str) -> tuple[list[_Entry], Defaults]:
    """Scenes of a YAML manifest, of a CSV table (its first line names ``name``), or one path per line."""
    first = next((line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    if not first:
        raise InputError(f"{where} is empty")
    columns = [column.strip() for column in first.split(",")]
    if suffix == ".csv" or (not suffix and "name" in columns and len(columns) > 1):
        return _csv_entries(text, where), defaults
    if suffix == ".txt" or (not suffix and not _is_yaml(first)):
        lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1)]
        given = [(i, line) for i, line in lines if line and not line.startswith("#")]
        return [_Entry(f"line {i}", {"name": Path(line).name, "images": line}) for i, line in given], defaults
    return _yaml_entries(text, where, defaults)


def _is_yaml(first_line: str) -> bool:
    return first_line.startswith(("{", "---", "%")) or first_line.split(":")[0] in ("scenes", "defaults")


def _yaml_entries(text: str, where: str, defaults: Defaults) -> tuple[list[_Entry], Defaults]:
    manifest = load_bounded(text, where)
    if not isinstance(manifest, dict):
        raise InputError(f"{where} must hold a mapping with 'scenes', not {_kind_of(manifest)}")
    for key in manifest:
        if key not in ("defaults", "scenes"):
            raise InputError(f"{where}: unknown key {key!r}{nearest(str(key), ['defaults', 'scenes'])}")
    scenes = manifest.get("scenes")
    if not isinstance(scenes, list):
        raise InputError(f"{where}: 'scenes' must be a list of scenes, not {_kind_of(scenes)}")
    shared = manifest.get("defaults") or {}
    if not isinstance(shared, dict):
        raise InputError(f"{where}: 'defaults' must be a mapping, not {_kind_of(shared)}")
    entries, problems = [], []
    for i, scene in enumerate(scenes):
        if isinstance(scene, dict):
            entries.append(_Entry(f"scenes[{i}]", scene))
        else:
            problems.append(Problem("?", f"scenes[{i}]", f"must be a mapping, not {_kind_of(scene)}"))
    if problems:
        raise ManifestError(where, problems)
    return entries, defaults.with_manifest(shared, f"{where}: defaults")


def _kind_of(value: Any) -> str:
    return {"NoneType": "nothing", "str": "text", "list": "a list", "dict": "a mapping"}.get(
        type(value).__name__, type(value).__name__
    )


def _csv_entries(text: str, where: str) -> list[_Entry]:
    """Rows of a table. A column is a key of a scene, or an option with its group (``tsdf.voxel_size``)."""
    rows = csv.reader(io.StringIO(text), strict=True)
    entries = []
    try:
        header = [column.strip() for column in next(rows)]
        _check_columns(header, where)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                problem = Problem("?", f"line {rows.line_num}", f"has {len(row)} columns, the header {len(header)}")
                raise ManifestError(where, [problem])
            entries.append(_Entry(f"line {rows.line_num}", _csv_scene(header, row)))
    except csv.Error as error:
        raise InputError(f"{where}, line {rows.line_num}: {error}") from None
    return entries


def _check_columns(header: list[str], where: str) -> None:
    for column in header:
        if column not in SCENE_KEYS and "." not in column:
            raise InputError(f"{where}: unknown column {column!r}{nearest(column, list(SCENE_KEYS))}, or GROUP.OPTION")
        if header.count(column) > 1:
            raise InputError(f"{where}: column {column!r} stands twice")


def _csv_scene(header: list[str], row: list[str]) -> dict[str, Any]:
    scene: dict[str, Any] = {}
    for column, cell in zip(header, (cell.strip() for cell in row), strict=True):
        if not cell:
            continue
        if column in SCENE_KEYS and column not in ("max_frames", "frame_motion"):
            scene[column] = cell
            continue
        target, parts = scene, column.split(".")
        for part in ["options", *parts[:-1]] if len(parts) > 1 else []:
            target = target.setdefault(part, {})
        target[parts[-1]] = load_bounded(cell, f"column {column}")
    return scene
