"""The real sets as one batch: local with two workers, and on Ray with two nodes; both must write the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from lotus_recon.datasets import dtu_omnidata, hololens
from tests.acceptance.rows import Row
from tests.runners.scenes import ROOT, contents

NODE: dict[str, Any] = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "num_cpus": 1}
PHOTOS = ("nyu_00000", "kitti_0000000005", "motorcycle", "arc2017")


def batch_of_real_sets(data: Path, work: Path, only: tuple[str, ...] = ()) -> list[Row]:
    """Rows of both runs. ``only`` names some of the scenes."""
    manifest = write_real_manifest(data, work, only)
    count = len(yaml.safe_load(manifest.read_text())["scenes"])
    rows = [_row("local, 2 workers", count, *_run(manifest, work / "local", "--workers", "2"))]
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        cluster.add_node(**NODE)
        address = ["--runner", "ray", "--address", cluster.address]
        rows.append(_row("Ray, 2 nodes", count, *_run(manifest, work / "ray", *address)))
    finally:
        cluster.shutdown()
    local, ray = contents(work / "local"), contents(work / "ray")
    differing = sorted(name for name in local.keys() | ray.keys() if local.get(name) != ray.get(name))
    for name in differing[:10]:
        print(f"differs: {name}")
    same = f"{len(differing)} of {len(local)} files"
    return [*rows, Row("batch", "files that differ between the two", same, "0", not differing)]


def write_real_manifest(data: Path, work: Path, only: tuple[str, ...] = ()) -> Path:
    """A manifest of the real sets, with what stored maps and poses they need."""
    dtu, holo = work / "dtu_maps", work / "hololens_maps"
    for folder in (dtu, holo):
        shutil.rmtree(folder, ignore_errors=True)
    scenes: list[dict[str, Any]] = [
        {"name": "fountain_p11", "images": str(data / "fountain_p11/images")},
        {"name": "lund_door", "images": str(data / "lund_door/images")},
        {"name": "dtu_scan24", "images": str(data / "dtu_scan24_omnidata/images"), "predictions": str(dtu)},
        {
            "name": "hololens_a", "images": str(data / "hololens_a/images"), "predictions": str(holo),
            "poses": str(work / "hololens.json"),
        },
        *({"name": n, "kind": "single_view", "images": str(_photo(data / "single_images", n))} for n in PHOTOS),
    ]  # fmt: skip
    scenes = [scene for scene in scenes if not only or scene["name"] in only]
    names = {scene["name"] for scene in scenes}
    if "dtu_scan24" in names:
        dtu_omnidata.write_predictions(data / "dtu_scan24_omnidata", dtu)
    if "hololens_a" in names:
        hololens.write_predictions(data / "hololens_a", holo)
        hololens.write_poses(data / "hololens_a", work / "hololens.json")
    work.mkdir(parents=True, exist_ok=True)
    defaults = {"preset": "fast", "options": {"runtime": {"deterministic": True}}}
    path = work / "manifest.yaml"
    path.write_text(yaml.safe_dump({"defaults": defaults, "scenes": scenes}))
    return path


def _photo(folder: Path, name: str) -> Path:
    """The colour image of a single-image scene."""
    return next(folder.glob(f"{name}_rgb.*"))


def _run(manifest: Path, out: Path, *options: str) -> tuple[float, dict[str, str]]:
    """Seconds of a batch, and the status of each scene."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "pipelines.batch", str(manifest), "--out", str(out), "--quiet", *options]
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=False)
    seconds = time.monotonic() - started
    report = json.loads((out / "batch_report.json").read_text())
    return seconds, {scene["name"]: scene["status"] for scene in report["scenes"]}


def _row(runner: str, count: int, seconds: float, statuses: dict[str, str]) -> Row:
    done = sum(status == "done" for status in statuses.values())
    return Row("batch", f"scenes done, {runner}", f"{done} of {count}", f"{count}", done == count, seconds)


if __name__ == "__main__":
    from tests.acceptance.rows import print_rows

    print_rows(batch_of_real_sets(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:])))
