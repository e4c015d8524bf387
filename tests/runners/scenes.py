"""Batches of small scenes on disk, and what two runs of one must agree on."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from lotus_recon.io.maps import save_prediction
from lotus_recon.types import DepthKind, DepthMap, Prediction
from lotus_recon.workspace import file_fingerprint
from tests.recipes.scenes import write_scene
from tests.recipes.test_mvs import write_scene as write_textured_scene

ROOT = Path(__file__).resolve().parents[2]

_OPTIONS = {
    "sfm": {"pose_unit": "m", "triangulate": False},
    "alignment": {"align": "none"},
    "report": {"report_views": 2, "advanced": {"picture_width": 64, "render_width": 64}},
    "runtime": {"deterministic": True},
}
# Files that say when, where and how long, and those that hold the mark of one run.
_OF_THE_RUN = {"log.txt", ".lock", "scene.json", "index.html", ".lease"}
_TIMES = {"seconds", "measured_memory_mb", "peak_memory_mb", "run_id", "input_hash", "stages", "total", "warnings"}


def write_photo(root: Path, name: str, size: tuple[int, int] = (32, 24)) -> dict[str, Any]:
    """A single-view scene: a photo of noise and a stored tilted plane; its entry in a manifest."""
    width, height = size
    seed = abs(hash(name)) if not name[-1].isdigit() else int("".join(c for c in name if c.isdigit()))
    rgb = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    (root / name).mkdir(parents=True)
    Image.fromarray(rgb).save(root / name / "photo.png")
    values = (2 + 0.01 * np.arange(width)[None] + 0.02 * np.arange(height)[:, None]).astype(np.float32)
    depth = DepthMap(values, np.ones_like(values, bool), DepthKind.METRIC)
    save_prediction(root / name / "maps" / "photo.npz", Prediction(depth, None, {}))
    return {"name": name, "kind": "single_view", "images": f"{name}/photo.png", "predictions": f"{name}/maps"}


def write_views(root: Path, name: str, count: int = 4) -> dict[str, Any]:
    """A multi-view scene of a sphere with poses and metric depth; its entry in a manifest."""
    write_scene(root / name, count)
    return {
        "name": name, "kind": "multi_view", "images": f"{name}/photos é", "predictions": f"{name}/maps",
        "poses": f"{name}/transforms.json", "options": _OPTIONS,
    }  # fmt: skip


def write_textured(root: Path, name: str) -> dict[str, Any]:
    """A multi-view scene that has every stage: textured photos, affine depth and normals; its entry in a manifest."""
    write_textured_scene(root / name, with_normals=True)
    fast = {"sfm": {"triangulate": True}, "mvs": {"advanced": {"sources": 4}}, "fusion": {"fusion": "normal"}}
    fast |= {"integration": {"integration_scale": 0.1}}  # trying several takes minutes on one thread
    options = {**_OPTIONS, **fast, "alignment": {"align": "auto"}}
    return {
        "name": name, "kind": "multi_view", "images": f"{name}/photos", "predictions": f"{name}/maps",
        "poses": f"{name}/transforms.json", "options": options,
    }  # fmt: skip


def write_manifest(root: Path, scenes: list[dict[str, Any]], **defaults: Any) -> Path:
    path = root / "manifest.yaml"
    path.write_text(yaml.safe_dump({"defaults": defaults, "scenes": scenes}, allow_unicode=True))
    return path


def command(manifest: Path | str, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pipelines.batch", str(manifest), "--out", str(out), "--quiet", *more]


def batch(manifest: Path | str, out: Path, *more: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """A batch as a user starts it."""
    return subprocess.run(command(manifest, out, *more), cwd=ROOT, capture_output=True, text=True, **how)


def events(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]


def records(out: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in out.glob("*/scene.json")}


def run_ids(out: Path) -> dict[str, str]:
    """The run of every finished stage below a folder."""
    found = {}
    for path in out.rglob("stage.json"):
        if ".scratch" not in path.parts:
            found[path.parent.relative_to(out).as_posix()] = json.loads(path.read_text())["run_id"]
    return found


def contents(out: Path) -> dict[str, Any]:
    """What every file of every scene holds; times, memory, logs, marks of the run and absolute paths aside."""
    found: dict[str, Any] = {}
    for path in sorted(out.glob("*/**/*")):
        if not path.is_file() or path.name in _OF_THE_RUN or ".scratch" in path.parts:
            continue
        name = path.relative_to(out).as_posix()
        if path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text()), str(out))
        elif path.name == "config.yaml":
            found[name] = path.read_text()
        elif path.suffix == ".db":
            found[name] = _rows(path)
        else:
            found[name] = file_fingerprint(path)
    return found


def _rows(database: Path) -> str:
    """What the tables of a SQLite database hold: its pages lie in another order after an interruption."""
    # immutable: nothing is made beside it, on a disk that may be full
    with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as connection:
        return hashlib.sha256("".join(connection.iterdump()).encode()).hexdigest()


def _timeless(value: Any, out: str) -> Any:
    if isinstance(value, dict):
        # The files of a stage by name: what they hold is compared by itself, and times change their sizes.
        kept = {key: sorted(item) if key == "files" else item for key, item in value.items() if key not in _TIMES}
        return {key: _timeless(item, out) for key, item in kept.items()}
    if isinstance(value, list):
        return [_timeless(item, out) for item in value]
    return value.replace(out, "OUT") if isinstance(value, str) else value
