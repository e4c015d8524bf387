"""Options of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Gt, Interval, Unit

from lotus_recon.limits import Workers
from lotus_recon.options import Options


@dataclass(frozen=True)
class RunnerConfig(Options):
    """Who does the work, and with what."""

    # local: processes on this machine; ray: a Ray cluster.
    runner: Literal["local", "ray"] = "local"
    # Scenes at a time. None: as many as two cores each allow (local), or two for each node (ray).
    workers: Workers | None = None
    # Threads of each worker. None: the cores divided by the workers. One with --deterministic.
    threads: Workers | None = None
    # Of the Ray cluster: auto, HOST:PORT, or local, which starts one on this machine.
    address: str = "auto"
    # Ray actors that hold networks. None: one for each GPU, or one for each node without.
    model_actors: Workers | None = None
    # Most resident memory of the process that works on a scene; it is ended above it. None: no limit.
    memory_limit: Annotated[int | None, Interval(ge=1, le=1_000_000_000), Unit("megabytes")] = None
    # Most time that one attempt at a scene takes. None: no limit.
    timeout: Annotated[float | None, Gt(0), Unit("seconds")] = None
    # Further attempts after the crash of a worker, a lost node or an input/output error. Bad input, a scene that cannot
    # be reconstructed, a time-out and too much memory are not tried again.
    retries: Annotated[int, Interval(ge=0, le=1000)] = 2


@dataclass(frozen=True)
class SelectionConfig(Options):
    """Which scenes, and which part of them."""

    # I/N: the I-th of N parts of the scenes, from 1. For job arrays; every part takes the same manifest.
    shard: str | None = None
    # Scenes that failed in an earlier run, and no others.
    failed: bool = False
    # This stage of multi-view scenes alone, on what earlier runs left of the stages before it.
    only: str | None = None
    # Compute everything again, also what is done; and take over folders that belong to other photos.
    force: bool = False


@dataclass(frozen=True)
class BatchConfig(Options):
    """Options of ``pipelines.batch``."""

    runner: RunnerConfig = field(default_factory=RunnerConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
