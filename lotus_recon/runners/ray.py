"""Scenes on a Ray cluster: actors hold the networks, every stage is a task that says what it needs.

The only module that imports ray. Ray's own retries are off: what is tried again is decided by the batch, as with any
other runner, so that no stage runs twice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.precomputed import PrecomputedModel
from lotus_recon.recipes.base import StageRun, Step
from lotus_recon.runners.config import RunnerConfig
from lotus_recon.runners.ray_process import (
    OVER_MEMORY_FILE,
    Shape,
    check_reachable,
    look,
    prepare_process,
)
from lotus_recon.runners.tasks import Event, Fault, Finished, StageEvent, Task
from lotus_recon.stages import Needs, options_of
from lotus_recon.types import Prediction

_PROBE_SECONDS = 60.0  # a node may have to start its first Python
_CALLS_AT_A_TIME = 32  # scenes that one model actor serves together
_ACTOR_TRIES = 3
_MODEL_NEEDS = Needs(1, 4000, gpus=1)  # of an actor that holds networks, on a cluster with GPUs
_CHECK_NEEDS = Needs(0.5, 800)


class RemoteModel:
    """A model that lives in an actor."""

    def __init__(self, host: Any, key: tuple[Any, ...], alone: bool) -> None:
        self._host, self._key, self._alone = host, key, alone
        self.name, self.tasks, self.batch_size = self._ask("facts")

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """As ``Model.predict``, of an image (H, W, 3)."""
        return self.predict_batch([rgb], seed, None if view is None else [view])[0]

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """As ``Model.predict_batch``, of images (H, W, 3)."""
        found: list[Prediction] = self._ask("predict", list(images), seed, views, self._alone)
        return found

    def _ask(self, method: str, *arguments: Any) -> Any:
        """The answer of the actor, which is started anew when its node dies. Raises ConnectionError when that fails."""
        for attempt in range(_ACTOR_TRIES):
            try:
                return ray.get(getattr(self._host, method).remote(self._key, *arguments))
            except RayTaskError as error:
                raise error.cause from None
            except RayActorError as error:
                if attempt == _ACTOR_TRIES - 1:
                    raise ConnectionError(f"the actor that holds the network is gone: {error}") from None


class _ModelHost:
    """Holds networks, and runs what scenes ask of them in batches."""

    def __init__(self, shape: Shape) -> None:
        prepare_process(shape, None)
        from lotus_recon.runners.warm import WarmModels

        self._models = WarmModels()
        self._queues: dict[int, Any] = {}  # by model

    def facts(self, key: tuple[Any, ...]) -> tuple[str, tuple[str, ...], int]:
        model = self._models(*key)
        return model.name, model.tasks, model.batch_size

    def predict(self, key: tuple[Any, ...], images: Any, seed: Any, views: Any, alone: bool) -> list[Prediction]:
        from lotus_recon.runners.batching import BatchingQueue

        model = self._models(*key)
        if id(model) not in self._queues:
            self._queues[id(model)] = BatchingQueue(model)
        found: list[Prediction] = self._queues[id(model)].predict_batch(images, seed, views, alone)
        return found


def _source(host: Any, alone: bool) -> Any:
    """Where ``make_model`` gets its models in a task: from the actor, but for stored maps."""
    from lotus_recon.models.precomputed import PrecomputedModel
    from lotus_recon.models.registry import load_from_files

    def source(name: str, options: Any, device: str, dtype: str) -> Any:
        if name == PrecomputedModel.name or host is None:
            return load_from_files(name, options, device, dtype)
        return RemoteModel(host, (name, options, device, dtype), alone)

    return source


def _perform(task: Task, step: str | None, shape: Shape, host: Any) -> Finished:
    """Check a scene, or do one step of it."""
    prepare_process(shape, task.folder, _source(host, task.job.runtime.deterministic))
    from lotus_recon.runners.scene import perform

    return perform(task, lambda stage: None, step)


@dataclass
class _Chain:
    """A scene on its way through its steps."""

    task: Task
    host: Any
    left: list[Step]
    runs: list[StageRun] = field(default_factory=list)
    seconds: float = 0.0


class RayRunner:
    """Tasks and actors of one cluster."""

    def __init__(self, config: RunnerConfig, out: Path, threads: int, deterministic: bool) -> None:
        """Raises InputError when there is no such cluster, or its nodes do not share the folder ``out``."""
        self._ours = _connect(config.address)
        self._shape = Shape(1 if deterministic else threads, config.memory_limit)
        self._chains: dict[Any, _Chain] = {}  # by what they wait for
        self._events: list[Event] = []
        self._config = config
        self._hosts: list[Any] = []
        nodes = [node for node in ray.nodes() if node["Alive"]]
        _check_shared(out, nodes)
        sizes = [node["Resources"] for node in nodes]
        self._largest = {what: max(size.get(what, 0) for size in sizes) for what in ("CPU", "memory")}
        self._slots = config.workers or max(2, 2 * int(sum(size.get("CPU", 0) for size in sizes)))

    @property
    def free(self) -> int:
        """Scenes that may join; two for each core, so that one computes while another waits for the network."""
        return self._slots - len(self._chains)

    def submit(self, task: Task) -> None:
        """Start a scene on its way."""
        job = task.job
        needs_network = task.step == "run" and options_of(job.config, PredictionConfig).model != PrecomputedModel.name
        steps = job.recipe.steps(job.source(task.folder), job.config, task.settings.selection)
        chain = _Chain(task, self._least_busy_host() if needs_network else None, steps)
        if task.step == "check":
            self._go(chain, Step("check", _CHECK_NEEDS), None)
        else:
            self._next(chain)

    def poll(self, seconds: float) -> Sequence[Event]:
        """What has ended since; waits until something does."""
        if self._chains and not self._events:
            ready, _ = ray.wait(list(self._chains), num_returns=1, timeout=seconds)
            for reference in ready:
                self._advance(self._chains.pop(reference), reference)
        events, self._events = self._events, []
        return events

    def stop(self, scene: str, fault: Fault, message: str) -> None:
        """End a scene's task. Its folder stays locked until the process is gone."""
        for reference, chain in list(self._chains.items()):
            if chain.task.name == scene:
                with contextlib.suppress(RayError, ValueError):
                    ray.cancel(reference, force=True)
                del self._chains[reference]
                self._events.append(Finished(scene, fault, message))

    def close(self) -> None:
        """End all tasks and actors, and a cluster that was started here."""
        if not ray.is_initialized():
            return
        for reference in self._chains:
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(reference, force=True)
        self._chains.clear()
        for host in self._hosts:
            ray.kill(host)
        self._hosts.clear()
        if self._ours:
            ray.shutdown()

    def _least_busy_host(self) -> Any:
        if not self._hosts:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            gpus = int(sum(node.get("GPU", 0) for node in nodes))
            options: dict[str, Any] = {"max_restarts": -1, "max_concurrency": _CALLS_AT_A_TIME}
            # Without a GPU an actor computes while the task that waits for it has given its core back.
            options |= {"num_cpus": _MODEL_NEEDS.cpus, "num_gpus": _MODEL_NEEDS.gpus} if gpus else {"num_cpus": 0}
            options |= {"scheduling_strategy": "SPREAD"}
            count = self._config.model_actors or gpus or len(nodes)
            self._hosts = [ray.remote(_ModelHost).options(**options).remote(self._shape) for _ in range(count)]
        busy = Counter(id(chain.host) for chain in self._chains.values())
        return min(self._hosts, key=lambda host: busy[id(host)])

    def _next(self, chain: _Chain) -> None:
        step = chain.left.pop(0)
        self._go(chain, step, step.name)
        self._events.append(StageEvent(chain.task.name, step.name))

    def _go(self, chain: _Chain, step: Step, name: str | None) -> None:
        """Start a step where there is room for what it needs, or for as much as the largest node has."""
        cpus = min(step.needs.cpus, self._largest["CPU"])
        memory = min(step.needs.memory_mb << 20, int(0.8 * self._largest["memory"]))
        options = {"num_cpus": cpus, "memory": memory, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        started = ray.remote(_perform).options(**options).remote(chain.task, name, self._shape, chain.host)
        self._chains[started] = chain

    def _advance(self, chain: _Chain, reference: Any) -> None:
        """Take the result of a step, and begin the next one."""
        task = chain.task
        try:
            end: Finished = ray.get(reference)
        except RayError as error:
            end = self._fault(task, error)
        chain.runs += end.stages
        chain.seconds += end.seconds
        if end.fault is None and task.step == "run" and chain.left:
            self._next(chain)
            return
        peak = max((run.peak_memory_mb for run in chain.runs), default=end.peak_memory_mb)
        whole = replace(end, stages=tuple(chain.runs), seconds=round(chain.seconds, 3), peak_memory_mb=peak)
        self._events.append(whole)

    def _fault(self, task: Task, error: RayError) -> Finished:
        """What the loss of a process or a node means for its scene."""
        marker = task.folder / OVER_MEMORY_FILE
        if marker.exists():
            message = marker.read_text()
            marker.unlink()
            return Finished(task.name, Fault.MEMORY, message)
        if isinstance(error, RayTaskError):
            return Finished(task.name, Fault.ERROR, f"{type(error.cause).__name__}: {error.cause}")
        fault = Fault.MEMORY if isinstance(error, OutOfMemoryError) else Fault.CRASH
        first = (str(error).strip().splitlines() or [""])[0]
        return Finished(task.name, fault, f"{type(error).__name__}: {first}")


@contextlib.contextmanager
def _handler_kept() -> Iterator[None]:
    """Give SIGTERM its handler back: Ray's ends the process with another status, and without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _connect(address: str) -> bool:
    """Join the cluster; whether it was joined here (and not by who called). Raises InputError when it cannot be."""
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        with _handler_kept():
            ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        return True
    if address != "auto":
        check_reachable(address)
    try:
        with _handler_kept():
            ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError(f"--address {address}: {_reason(str(error))}") from None
    return True


def _reason(message: str) -> str:
    if "ersion mismatch" in message:
        return f"the cluster runs another version of Ray or Python than this one (Ray {ray.__version__}): {message}"
    first = (message.strip().splitlines() or [""])[0]
    return f"no Ray cluster was found ({first}); start one with 'ray start --head', or use --address local"


def _check_shared(out: Path, nodes: Sequence[Any]) -> None:
    """Raise InputError naming the nodes that do not see the output folder, or run another version of this package."""
    out.mkdir(parents=True, exist_ok=True)
    token, file = uuid.uuid4().hex, out / f".cluster-{uuid.uuid4().hex}"
    file.write_text(token)
    try:
        seen = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
            seen[node["NodeManagerAddress"], node["NodeID"]] = ray.remote(look).options(**options).remote(str(file))
        for (host, _), answer in seen.items():
            try:
                found, version = ray.get(answer, timeout=_PROBE_SECONDS)
            except GetTimeoutError:
                raise InputError(f"node {host} of the cluster does not answer within {_PROBE_SECONDS:.0f} s") from None
            except RayTaskError as error:
                raise InputError(f"node {host} of the cluster cannot run this package: {error.cause}") from None
            except RayError as error:
                raise InputError(f"node {host} of the cluster failed: {error}") from None
            if found != token:
                raise InputError(f"node {host} of the cluster does not share the output folder {out}; mount it there")
            if version != __version__:
                raise InputError(f"node {host} has version {version} of lotus-recon, not {__version__}")
    finally:
        file.unlink(missing_ok=True)
