"""The pipelines on inputs that take seconds, to be disturbed in every way, and the files that must be left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lotus_recon.io.images import write_png
from tests.acceptance.forked import Run, start
from tests.runners.scenes import contents, write_manifest, write_photo, write_textured, write_views


@dataclass(frozen=True)
class Case:
    """A command without its ``--out``."""

    name: str
    module: str
    arguments: tuple[str, ...]

    def words(self, out: Path) -> list[str]:
        """Arguments with the output folder."""
        return [*self.arguments, "--out", str(out)]

    def start(self, out: Path, **how: Any) -> Run:
        """Begin it in a fork; what it says is beside ``out``."""
        out.parent.mkdir(parents=True, exist_ok=True)
        return start(self.module, self.words(out), out.parent.with_name(f"{out.parent.name}.txt"), **how)

    def finish(self, out: Path) -> Run:
        """Run it to its end."""
        run = self.start(out)
        run.wait()
        return run


def files(case: Case, out: Path) -> dict[str, Any]:
    """What every file in an output folder holds, but for times. Of a batch, those of its scenes."""
    return contents(out if case.name == "batch" else out.parent)


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Names of files that differ, are missing, or are too many."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def write_cases(root: Path, names: tuple[str, ...] = ()) -> dict[str, Case]:
    """Write the inputs; all cases, or those that are named."""
    makers = {
        "single_view": _single_view, "multi_view": _multi_view, "all_stages": _all_stages,
        "batch": _batch, "train": _train, "evaluate": _evaluate,
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    return {name: make(root) for name, make in makers.items() if name in (names or makers)}


def _single_view(root: Path) -> Case:
    entry = write_photo(root, "photo0")
    stored = ("--model", "precomputed", "--predictions", str(root / entry["predictions"]))
    return Case("single_view", "pipelines.single_view", (str(root / entry["images"]), *stored))


def _multi_view(root: Path) -> Case:
    return _scene(root, "multi_view", write_views(root, "views", 3))


def _all_stages(root: Path) -> Case:
    """Photos that match, affine depth and normals: everything that stored maps can have."""
    return _scene(root, "all_stages", write_textured(root, "textured"))


def _scene(root: Path, name: str, entry: dict[str, Any]) -> Case:
    options = root / f"{name}.yaml"
    options.write_text(yaml.safe_dump(entry["options"]))
    stored = ("--model", "precomputed", "--predictions", str(root / entry["predictions"]))
    given = ("--poses", str(root / entry["poses"]), "--config", str(options))
    return Case(name, "pipelines.multi_view", (str(root / entry["images"]), *stored, *given))


def _batch(root: Path) -> Case:
    folder = root / "many"
    manifest = write_manifest(folder, [write_photo(folder, f"p{i}") for i in range(3)])
    return Case("batch", "pipelines.batch", (str(manifest), "--workers", "1"))


def _train(root: Path) -> Case:
    sets = [{"kind": "folder", "root": str(_measured_photos(root)), "width": 64, "height": 48}]
    loop = {"steps": 4, "total_batch": 2, "checkpoint_every": 1, "tracker": "none", "validate_every": 2}
    start = {
        "unet": {"block_out_channels": [32, 64], "layers_per_block": 1, "cross_attention_dim": 32},
        "vae": {"block_out_channels": [32, 32, 32, 32]},
    }
    data = {"sets": sets, "validation": sets, "validation_samples": 2}
    options = root / "train.yaml"
    options.write_text(yaml.safe_dump({"start": start, "data": data, "loop": loop, "processing_res": 64}))
    return Case("train", "pipelines.train", ("--config", str(options)))


def _evaluate(root: Path) -> Case:
    sets = ("--sets", "[{kind: folder, root: measured}]", "--data", str(_measured_photos(root).parent))
    return Case("evaluate", "pipelines.evaluate", ("depth", *sets))


def _measured_photos(root: Path) -> Path:
    """A data set of a user: six photos of a slanted plane, with depth."""
    folder, random = root / "measured", np.random.default_rng(0)
    depth_mm = np.broadcast_to(np.linspace(1000, 3000, 48)[:, None], (48, 64)).astype(np.uint16)
    for i in range(6):
        write_png(folder / f"rgb/{i}.png", random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        write_png(folder / f"depth/{i}.png", depth_mm)
    (folder / "dataset.yaml").write_text("depth_unit_m: 0.001\n")
    return folder
