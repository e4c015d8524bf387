"""All variants and seeds, one after the other, resumable; their table and the picture of predictions over steps."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lotus_recon.config import load_config, save_config
from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.foreign_files import refuse_foreign
from lotus_recon.interruption import doing
from lotus_recon.io.images import write_png
from lotus_recon.io.visualization import colorize_depth, contact_sheet
from lotus_recon.training.ablation.config import VARIANTS, AblationConfig, Variant
from lotus_recon.training.ablation.measuring import (
    Score,
    blind_error,
    coding_error,
    load,
    predict,
    score,
    steps_of,
    validation_photos,
)
from lotus_recon.training.ablation.training import make_vae, train_variant
from lotus_recon.types import DepthKind, DepthMap
from lotus_recon.workspace import to_plain, write_atomically, write_json

log = logging.getLogger(__name__)

TABLE, PICTURE = "table.md", "steps.png"
_SHOWN = ("epsilon-many", "v-many", "x0-many")  # in the picture

Scores = dict[Variant, dict[int, list[Score]]]  # by steps at inference, one for each seed of training


def check_job(config: AblationConfig, out: Path) -> None:
    """Raise InputError for rooms that are not there, and a folder of other files or of networks with other options."""
    refuse_foreign(out, lambda path: path.name == "config.yaml")
    for split in ("train", "val"):
        RoomsSet(config.rooms, split)
    if (out / "config.yaml").is_file():
        before = load_config(AblationConfig, out / "config.yaml")
        changed = [key for key, value in to_plain(config).items() if to_plain(before)[key] != value]
        if changed:
            raise InputError(f"{out} was begun with other {', '.join(changed)}: keep them, or choose another --out")


def run_job(config: AblationConfig, out: Path) -> str:
    """Train and score what is missing; the table, which is also written with the picture."""
    save_config(config, out / "config.yaml")
    with doing("the ablation", "the running training goes on after its latest checkpoint"):
        vae = make_vae(config, out)
        photos = validation_photos(config)
        scores: Scores = {variant: {} for variant in VARIANTS}
        for seed in range(config.seeds):
            for variant in VARIANTS:
                log.info("%s, seed %d of %d", variant.label, seed + 1, config.seeds)
                model = train_variant(config, variant, seed, vae, out)
                for steps, found in _scored(config, variant, model, photos).items():
                    scores[variant].setdefault(steps, []).append(found)
        write_png(out / PICTURE, _picture(config, out, photos[len(photos) // 2]))
        bounds = blind_error(config, photos), coding_error(vae, photos)
    table = "\n".join(table_lines(scores, *bounds))
    write_atomically(out / TABLE, lambda part: part.write_text(table + "\n"))
    return table


def _scored(config: AblationConfig, variant: Variant, model: Path, photos: Sequence[Sample]) -> dict[int, Score]:
    """By steps; kept beside the model."""
    file = model.parent / "scores.json"
    wanted = steps_of(config, variant)
    kept = _kept(file)
    if list(kept) == wanted:
        return kept
    found = {steps: score(load(model, steps), photos, config.noises) for steps in wanted}
    write_json(file, {str(steps): vars(each) for steps, each in found.items()})
    return found


def _kept(file: Path) -> dict[int, Score]:
    """What was measured before; nothing where that cannot be read."""
    try:
        return {int(steps): Score(**values) for steps, values in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def table_lines(scores: Scores, blind: float, coded: float) -> list[str]:
    """A row for each variant and number of steps: mean and standard deviation over seeds of training.

    Before them the AbsRel of a map that is ``blind`` to the photo, and of the true one, ``coded`` by the VAE.
    """
    lines = [
        "| predicts | steps at inference | AbsRel | spread over noises |",
        "|---|---|---|---|",
        f"| the mean map, whatever the photo | | {blind:.3f} | |",
        f"| the true map, through the VAE | | {coded:.3f} | |",
    ]
    for variant, by_steps in scores.items():
        for steps, found in by_steps.items():
            error, spread = np.array([each.abs_rel for each in found]), np.mean([each.spread for each in found])
            told = f"{spread:.1%}" if variant.mode == "G" else "0 (takes none)"
            lines.append(f"| {variant.label} | {steps} | {error.mean():.3f} +- {error.std():.3f} | {told} |")
    return lines


def _picture(config: AblationConfig, out: Path, photo: Sample) -> np.ndarray:
    """The photo and its depth, then one row for each parameterisation: predictions over steps at inference."""
    assert photo.depth is not None
    assert photo.depth_valid is not None
    disparity = np.asarray(1 / np.maximum(photo.depth, 1e-3), np.float32)
    truth = DepthMap(disparity, photo.depth_valid, DepthKind.AFFINE_DISPARITY)
    steps = list(config.inference_steps)
    blank = np.full_like(photo.rgb, 255)
    images = [photo.rgb, colorize_depth(truth), *[blank] * max(len(steps) - 2, 0)]
    labels = ["photo", "truth", *[""] * max(len(steps) - 2, 0)]
    for variant in VARIANTS:
        if variant.name not in _SHOWN:
            continue
        model = out / "runs" / variant.name / "seed_0" / "model"
        for count in steps:
            images.append(colorize_depth(predict(load(model, count), photo, seed=0)))
            labels.append(f"{variant.label.partition(',')[0]}, {count} step{'s' * (count > 1)}")
    return contact_sheet(images, labels, max(len(steps), 2), cell_width=192)
