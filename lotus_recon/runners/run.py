"""A list of jobs, done by the runner that the configuration names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lotus_recon.config import did_you_mean
from lotus_recon.errors import InputError
from lotus_recon.recipes.base import Selection
from lotus_recon.runners.batch import Batch, BatchResult, Watcher, local_shape
from lotus_recon.runners.config import BatchConfig
from lotus_recon.runners.jobs import SceneJob
from lotus_recon.runners.local import LocalRunner
from lotus_recon.runners.tasks import Runner, Settings


def _keep_loopback(address: str) -> None:
    """Let a cluster that listens on 127.0.0.1 only be started, and reached, there.

    Ray replaces a loopback address by that of the network card, where such a cluster does not answer, unless it was
    told not to before it is imported.
    """
    if address == "local" or address.startswith(("127.", "localhost:")):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def run_jobs(jobs: Sequence[SceneJob], out: Path, config: BatchConfig, watch: Watcher | None = None) -> BatchResult:
    """Do all scenes that are not done yet. ``watch`` is told how it goes, a few times a second.

    Raises InputError when nothing can start: no jobs, names that clash, options that cannot be, no such cluster.
    """
    if not jobs:
        raise InputError("a batch needs at least one scene")
    deterministic = any(job.runtime.deterministic for job in jobs)
    workers, threads = local_shape(config, deterministic)
    only = config.selection.only
    if only is not None and not any(only in job.recipe.stage_names for job in jobs):
        known = list(dict.fromkeys(name for job in jobs for name in job.recipe.stage_names))
        raise InputError(f"--only: unknown stage {only!r}{did_you_mean(only, known)}; stages: {', '.join(known)}")
    settings = Settings(Selection(only, config.selection.force), threads, config.runner.memory_limit)
    runner: Runner
    out = Path(out).resolve()
    if config.runner.runner == "ray":
        _keep_loopback(config.runner.address)
        try:
            from lotus_recon.runners.ray import RayRunner
        except ImportError:
            raise InputError("--runner ray needs Ray: pip install 'lotus-recon[cluster]'") from None

        runner = RayRunner(config.runner, out, threads, deterministic)
    else:
        runner = LocalRunner(workers, threads, config.runner.memory_limit)
    try:
        return Batch(jobs, out, config, runner, settings, watch).run()
    finally:
        runner.close()
