"""The tasks depth and normals as a whole: check, predict, score, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lotus_recon.datasets.benchmarks.base import Benchmark
from lotus_recon.datasets.benchmarks.registry import describe, open_benchmark
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import MapsConfig, SetConfig
from lotus_recon.evaluation.pictures import write_worst
from lotus_recon.evaluation.predict import claim, indices_of, parse_shard, predict_set
from lotus_recon.evaluation.score import SetScores, Task, refuse_missing, score_set
from lotus_recon.evaluation.tables import write_results
from lotus_recon.models.base import Model, ModelOptions
from lotus_recon.models.registry import check_model, make_model, model_fingerprint

_SHOWN = 5


@dataclass(frozen=True)
class Part:
    """A set to score, and where its maps are."""

    config: SetConfig
    benchmark: Benchmark
    folder: Path

    @property
    def count(self) -> int:
        """How many of its photos are used."""
        return len(self.benchmark) if self.config.first is None else min(len(self.benchmark), self.config.first)


@dataclass(frozen=True)
class MapsJob:
    """What a run does; made by ``check_job``."""

    task: Task
    config: MapsConfig
    parts: tuple[Part, ...]
    label: str
    out: Path

    @property
    def only_predicts(self) -> bool:
        """Whether scoring is left to a later run."""
        return self.config.only == "predict" or self.config.shard != "1/1"


def check_job(task: Task, config: MapsConfig, out: Path) -> MapsJob:
    """Everything that can be said before any work.

    Raises InputError for sets that cannot be opened or lack files (with where they come from), options that contradict
    each other, and a model that does not predict what is asked.
    """
    if not config.sets:
        raise InputError("no set to score on: name a config (--config) or --sets '[{kind: folder, root: DIR}]'")
    parse_shard(config.shard)
    if config.predictions is not None and (config.only == "predict" or config.shard != "1/1"):
        raise InputError("--predictions names maps that are there already: --only predict and --shard have no use")
    model = None if config.predictions is not None else _checked_model(task, config)
    label = config.label or (model if model is not None else _folder_name(config))
    kinds = [part.kind for part in config.sets]
    if twice := {kind for kind in kinds if kinds.count(kind) > 1}:
        raise InputError(f"set {twice.pop()!r} is named twice; score its parts in runs of their own")
    parts = tuple(_opened(part, config, out, model) for part in config.sets)
    if config.predictions is not None or config.only == "score":
        for part in parts:
            names = [part.benchmark.name(i) for i in range(part.count)]
            refuse_missing(part.folder, names, part.benchmark.facts.title)
    return MapsJob(task, config, parts, label, out)


def _folder_name(config: MapsConfig) -> str:
    assert config.predictions is not None  # by check_job
    if not config.predictions.is_dir():
        raise InputError(f"--predictions {config.predictions} is not a folder")
    return config.predictions.resolve().name


def _checked_model(task: Task, config: MapsConfig) -> str:
    info = check_model(config.model, config.device, config.dtype, options=_options(config, None))
    wanted = {"depth": "depth", "normals": "normal"}[task]
    if wanted not in info.tasks:
        raise InputError(f"--model {config.model} predicts {', '.join(info.tasks)}; this task needs {task}")
    return info.name


def _options(config: MapsConfig, processing_res: int | None) -> ModelOptions:
    return ModelOptions(
        task=config.task,
        depth_space=config.depth_space,
        revision=config.revision,
        processing_res=processing_res,
        batch_size=config.images_per_batch,
    )


def _opened(part: SetConfig, config: MapsConfig, out: Path, model: str | None) -> Part:
    lists = config.data if config.lists is None else config.lists
    file_list = None if part.file_list is None else lists / part.file_list
    benchmark = open_benchmark(part.kind, config.data / part.root, file_list, part.split)
    if missing := benchmark.missing():
        listed = "\n".join(f"  {name}" for name in missing[:_SHOWN])
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"{part.kind}: {len(missing)} files are missing:\n{listed}{more}\nThey come from: {describe(part.kind)}"
        )
    if config.predictions is None:
        assert model is not None  # by check_job
        return Part(part, benchmark, out / "prediction" / model / part.kind)
    own = config.predictions / part.kind
    return Part(part, benchmark, own if own.is_dir() or len(config.sets) > 1 else config.predictions)


def run_job(job: MapsJob) -> dict[str, SetScores]:
    """Both loops, or one; scores by kind of the set, none where only maps were predicted."""
    if job.config.predictions is None and job.config.only != "score":
        predict(job, lambda part: _model(job.config, part))
    return {} if job.only_predicts else score(job)


def _model(config: MapsConfig, part: SetConfig) -> Model:
    return make_model(config.model, _options(config, part.processing_res), config.device, config.dtype)


def predict(job: MapsJob, model_of: Callable[[SetConfig], Model]) -> int:
    """The first loop over all sets; returns how many photos were predicted. ``model_of`` makes the model of a set."""
    shard, done = parse_shard(job.config.shard), 0
    models: dict[int | None, Model] = {}
    for part in job.parts:
        resolution = part.config.processing_res
        claim(
            part.folder,
            {
                "model": job.config.model,
                "depth_space": job.config.depth_space,
                "fingerprint": model_fingerprint(job.config.model, _options(job.config, resolution)),
                "processing_res": resolution,
                "seed": job.config.seed,
                "padding": part.benchmark.facts.padding,
            },
        )
        if resolution not in models:
            models[resolution] = model_of(part.config)
        indices = indices_of(part.count, shard)
        done += predict_set(part.benchmark, models[resolution], part.folder, indices, job.config.seed)
    return done


def score(job: MapsJob) -> dict[str, SetScores]:
    """The second loop: scores, tables and pictures of all sets."""
    results: dict[str, SetScores] = {}
    out = job.out / job.task
    for part in job.parts:
        kind = part.config.kind
        results[kind] = score_set(part.benchmark, job.task, part.folder, part.count, job.config)
        write_worst(part.benchmark, job.task, part.folder, results[kind], out / kind / "worst", job.config)
    write_results(out, job.label, job.task, results, protocol_of(job))
    return results


def protocol_of(job: MapsJob) -> Mapping[str, object]:
    """What a reader must know to make the same figures."""
    config = job.config
    sets = {
        part.config.kind: {
            "min_depth": part.benchmark.facts.min_depth,
            "max_depth": part.benchmark.facts.max_depth,
            "alignment_resolution": part.benchmark.facts.alignment_resolution,
            "padding": part.benchmark.facts.padding,
            "processing_res": part.config.processing_res,
        }
        for part in job.parts
    }
    return {
        "protocol": config.protocol if job.task == "depth" else "DSINE",
        "align": config.align,
        "truncation": config.truncation,
        "holes": config.holes,
        "seed": config.seed,
        "sets": sets,
    }
