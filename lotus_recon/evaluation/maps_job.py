"""The tasks depth and normals: check, predict, score, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.datasets.benchmarks.base import Benchmark
from lotus_recon.datasets.benchmarks.registry import describe, open_benchmark
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import MapsConfig, SetConfig
from lotus_recon.evaluation.error_images import write_worst
from lotus_recon.evaluation.predict import check_claim, claim, indices_of, parse_shard, predict_set, prediction_file
from lotus_recon.evaluation.score import SetScores, Task, refuse_missing, score_set
from lotus_recon.evaluation.tables import write_results
from lotus_recon.interruption import doing
from lotus_recon.models.base import Model, ModelOptions
from lotus_recon.models.registry import check_model, make_model, model_fingerprint
from lotus_recon.workspace import file_fingerprint, remove_unfinished

_SHOWN = 5


@dataclass(frozen=True)
class Part:
    """A set to score, and the folder of its maps."""

    config: SetConfig
    benchmark: Benchmark
    folder: Path

    @property
    def count(self) -> int:
        """Number of its photos that are used."""
        return len(self.benchmark) if self.config.first is None else min(len(self.benchmark), self.config.first)


@dataclass(frozen=True)
class MapsJob:
    """A checked run; created by ``check_job``."""

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
    """Check options and sets before any work.

    Raises InputError for sets that cannot be opened or lack files (naming their origin), options that contradict each
    other, and a model that does not predict the task.
    """
    if not config.sets:
        raise InputError("no set to score on; give a config (--config) or --sets '[{kind: folder, root: DIR}]'")
    parse_shard(config.shard)
    if config.predictions is not None and (config.only == "predict" or config.shard != "1/1"):
        raise InputError("--predictions gives existing maps, so --only predict and --shard cannot be used with it")
    model = None if config.predictions is not None else _checked_model(task, config)
    label = config.label or (model if model is not None else _folder_name(config))
    kinds = [part.kind for part in config.sets]
    if twice := {kind for kind in kinds if kinds.count(kind) > 1}:
        raise InputError(f"set {twice.pop()!r} is given twice; score its parts in separate runs")
    parts = tuple(_opened(part, config, out, model) for part in config.sets)
    if config.predictions is not None or config.only == "score":
        for part in parts:
            names = [part.benchmark.name(i) for i in range(part.count)]
            refuse_missing(part.folder, names, part.benchmark.spec.title)
            if config.predictions is None:
                check_claim(part.folder, _made_by(config, part))
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
        compile=config.compile,
    )


def _opened(part: SetConfig, config: MapsConfig, out: Path, model: str | None) -> Part:
    file_list = None if part.file_list is None else _list_of(part, config)
    benchmark = open_benchmark(part.kind, config.data / part.root, file_list, part.split)
    if missing := benchmark.missing():
        listed = "\n".join(f"  {name}" for name in missing[:_SHOWN])
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"{part.kind}: {len(missing)} files are missing:\n{listed}{more}\nThey come from: {describe(part.kind)}"
        )
    for i in range(len(benchmark)):
        prediction_file(out, benchmark.name(i))  # a name from outside must not lead out of the folder
    if config.predictions is None:
        assert model is not None  # by check_job
        return Part(part, benchmark, out / "prediction" / model / part.kind)
    folder = config.predictions / part.kind
    return Part(part, benchmark, folder if folder.is_dir() or len(config.sets) > 1 else config.predictions)


def _list_of(part: SetConfig, config: MapsConfig) -> Path:
    assert part.file_list is not None
    return (config.data if config.lists is None else config.lists) / part.file_list


def run_job(job: MapsJob) -> dict[str, SetScores]:
    """Run both loops or one of them; scores by kind of the set, empty when only maps were predicted."""
    if job.config.predictions is None and job.config.only != "score":
        predict(job, lambda part: _model(job.config, part))
    return {} if job.only_predicts else score(job)


def lines_of_plan(job: MapsJob) -> list[str]:
    """What ``run_job`` would do, a line for each set: photos to predict and to score."""
    lines, to_predict = [], 0
    shard = parse_shard(job.config.shard)
    for part in job.parts:
        names = [part.benchmark.name(i) for i in indices_of(part.count, shard)]
        given = job.config.predictions is not None or job.config.only == "score"
        missing = [] if given else [name for name in names if not prediction_file(part.folder, name).is_file()]
        to_predict += len(missing)
        scored = 0 if job.only_predicts else part.count
        lines.append(f"{part.benchmark.spec.title}: predict {len(missing)} of {len(names)} photos, score {scored}")
    return [*lines, f"{to_predict} photos for the network {job.label}"]


def _model(config: MapsConfig, part: SetConfig) -> Model:
    return make_model(config.model, _options(config, part.processing_res), config.device, config.dtype)


def predict(job: MapsJob, model_of: Callable[[SetConfig], Model]) -> int:
    """The first loop over all sets; returns the number of predicted photos. ``model_of`` creates the model of a set."""
    shard, done = parse_shard(job.config.shard), 0
    models: dict[int | None, Model] = {}
    for part in job.parts:
        resolution = part.config.processing_res
        claim(part.folder, _made_by(job.config, part))
        if resolution not in models:
            models[resolution] = model_of(part.config)
        indices = indices_of(part.count, shard)
        done += predict_set(part.benchmark, models[resolution], part.folder, indices, job.config.seed)
    return done


def _made_by(config: MapsConfig, part: Part) -> dict[str, Any]:
    """What the maps of a set depend on: model, options, photos and their names."""
    files = None if part.config.file_list is None else file_fingerprint(_list_of(part.config, config))
    return {
        "model": config.model,
        "depth_space": config.depth_space,
        "fingerprint": model_fingerprint(config.model, _options(config, part.config.processing_res)),
        "processing_res": part.config.processing_res,
        "dtype": config.dtype,
        "seed": config.seed,
        "padding": part.benchmark.spec.padding,
        "root": str((config.data / part.config.root).resolve()),
        "list": files,
    }


def score(job: MapsJob) -> dict[str, SetScores]:
    """The second loop: scores, tables and error images of all sets."""
    results: dict[str, SetScores] = {}
    out = job.out / job.task
    remove_unfinished(out)
    for part in job.parts:
        kind = part.config.kind
        with doing("the photo in work", "the maps are kept, scoring starts again"):
            results[kind] = score_set(part.benchmark, job.task, part.folder, part.count, job.config)
        write_worst(part.benchmark, job.task, part.folder, results[kind], out / kind / "worst", job.config)
    write_results(out, job.label, job.task, results, protocol_of(job))
    return results


def protocol_of(job: MapsJob) -> Mapping[str, object]:
    """The settings that reproduce the figures."""
    config = job.config
    sets = {
        part.config.kind: {
            "min_depth": part.benchmark.spec.min_depth,
            "max_depth": part.benchmark.spec.max_depth,
            "alignment_resolution": part.benchmark.spec.alignment_resolution,
            "padding": part.benchmark.spec.padding,
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
