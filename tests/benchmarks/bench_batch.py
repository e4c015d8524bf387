"""What a batch costs beside the work in it: ``python -m tests.benchmarks.bench_batch [SCENES ...]``.

Overhead is the time of the whole batch (checking and reconstructing, without the start of Python and of the workers)
over the number of scenes, less the time that a worker spends in the scenes themselves when they are run one after the
other by the recipe alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.runners.scenes import ROOT, write_manifest, write_photo

COUNTS = (500, 5000)


@dataclass(frozen=True)
class Measured:
    """One batch."""

    scenes: int
    batch_s: float  # from the first scene checked to the last one done
    work_s: float  # of the recipes alone, in one process
    driver_mb: float

    @property
    def overhead_ms(self) -> float:
        """Of each scene, for one worker."""
        return 1000 * (self.batch_s - self.work_s) / self.scenes


def batch_lines(counts: tuple[int, ...] = COUNTS) -> list[str]:
    """What ``bench`` prints of batches."""
    lines = ["batch: single-view scenes of 32x24 pixels, stored maps, one local worker"]
    found = [measure(count) for count in counts]
    for one in found:
        lines.append(
            f"  {one.scenes:5d} scenes  {one.batch_s:7.1f} s, of it {one.work_s:6.1f} s work: {one.overhead_ms:5.1f} "
            f"ms overhead per scene  driver {one.driver_mb:4.0f} MB"
        )
    if len(found) > 1:
        grown = found[-1].driver_mb / found[0].driver_mb - 1
        lines.append(f"  the driver's memory grows by {grown:.0%} from {found[0].scenes} to {found[-1].scenes} scenes")
    return lines


def ray_lines(count: int = 24) -> list[str]:
    """How throughput grows from one to two workers, of processes and on Ray: photos of one megapixel, by nano."""
    lines = [f"batch: {count} single-view scenes of 1024x768 pixels, nano, scenes per minute with 1 and 2 workers"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scenes = [write_photo(root, f"p{i}", (1024, 768)) for i in range(count)]
        manifest = write_manifest(root, [{key: scene[key] for key in ("name", "kind", "images")} for scene in scenes])
        for runner in ("local", "ray"):
            rates = [_per_minute(manifest, root / f"{runner}{workers}", runner, workers) for workers in (1, 2)]
            lines.append(f"  {runner:6s} {rates[0]:6.1f} {rates[1]:6.1f}  {rates[1] / rates[0]:.2f} times")
    return lines


def _per_minute(manifest: Path, out: Path, runner: str, workers: int) -> float:
    """Scenes per minute between the first and the last scene that was done, as events.jsonl says."""
    where = ["--workers", str(workers)]
    if runner == "ray":
        where = ["--runner", "ray", "--address", "local", "--model-actors", str(workers), *where]
    where += ["--threads", "1", "--quiet"]
    command = [sys.executable, "-m", "pipelines.batch", str(manifest), "--out", str(out), *where]
    subprocess.run(command, cwd=ROOT, check=True)
    lines = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    done = [datetime.fromisoformat(line["time"]) for line in lines if line["event"] == "scene_done"]
    skipped = 2 * workers  # the first scenes wait for weights and, on Ray, for processes to start
    return (len(done) - skipped) / (done[-1] - done[skipped - 1]).total_seconds() * 60


def measure(count: int) -> Measured:
    """Run a batch in a process of its own, and its recipes alone in another."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest = write_manifest(root, [write_photo(root, f"p{i}") for i in range(count)])
        driver = json.loads(_python("driver", manifest, root / "out"))
        shutil.rmtree(root / "out")
        work = json.loads(_python("recipes", manifest, root / "out"))
    return Measured(count, driver["seconds"], work["seconds"], driver["megabytes"])


def _python(what: str, manifest: Path, out: Path) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.bench_batch", what, str(manifest), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.splitlines()[-1]


def _driver(manifest: Path, out: Path) -> None:
    """A batch as ``pipelines.batch`` runs it; its seconds without the start of the worker."""
    from lotus_recon.measuring import peak_memory_mb
    from lotus_recon.runners import run_jobs
    from lotus_recon.runners.batch import Status
    from lotus_recon.runners.building import Defaults
    from lotus_recon.runners.config import BatchConfig, RunnerConfig
    from lotus_recon.runners.manifest import read_jobs

    jobs = read_jobs(str(manifest), Defaults(ROOT / "configs"))
    first: list[float] = []
    config = BatchConfig(RunnerConfig(workers=1))

    def watch(status: Status) -> None:
        if status.done and not first:
            first.append(time.monotonic())

    run_jobs(jobs, out, config, watch)
    seconds = time.monotonic() - first[0]
    print(json.dumps({"seconds": seconds, "megabytes": peak_memory_mb()}))


def _recipes(manifest: Path, out: Path) -> None:
    """The same scenes one after the other, by the recipe alone."""
    from lotus_recon.recipes.single_view import check_job, claim_photos, run_job
    from lotus_recon.runners.building import Defaults
    from lotus_recon.runners.manifest import read_jobs
    from lotus_recon.workspace import Workspace

    started = 0.0
    for job in read_jobs(str(manifest), Defaults(ROOT / "configs")):
        workspace = Workspace(out / job.name)
        checked = check_job(job.images, job.config, out / job.name)
        with workspace.locked():
            claim_photos(checked, workspace, force=False)
            run_job(checked, workspace)
        started = started or time.monotonic()  # the first scene loads libraries, in a batch too
    print(json.dumps({"seconds": time.monotonic() - started}))


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] in ("driver", "recipes"):
        {"driver": _driver, "recipes": _recipes}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        print("\n".join(batch_lines(tuple(map(int, sys.argv[1:])) or COUNTS)))
