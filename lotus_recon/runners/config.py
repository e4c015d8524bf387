"""Options of a batch. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class RunnerConfig:
    """Who does the work, and with what."""

    # local = processes on this machine; ray = a Ray cluster.
    runner: Literal["local", "ray"] = "local"
    # Scenes at a time. None: as many as two cores each allow (local), or two for each node (ray).
    workers: int | None = None
    # Threads of each worker. None: the cores divided by the workers. One with --deterministic.
    threads: int | None = None
    # Of the Ray cluster: auto, HOST:PORT, or local, which starts one on this machine.
    address: str = "auto"
    # Ray actors that hold networks. None: one for each GPU, or one for each node without.
    model_actors: int | None = None
    # Resident memory in MB of the process that works on a scene, at most; it is ended above it. None: no limit.
    memory_limit: int | None = None
    # Seconds that one attempt at a scene may take. None: no limit.
    timeout: float | None = None
    # Further attempts after the crash of a worker, a lost node or an input/output error. Bad input, a scene that cannot
    # be reconstructed, a time-out and too much memory are not tried again.
    retries: int = 2


@dataclass(frozen=True)
class SelectionConfig:
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
class BatchConfig:
    """Options of ``pipelines.batch``."""

    runner: RunnerConfig = field(default_factory=RunnerConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
