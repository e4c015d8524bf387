"""Metadata of Lotus checkpoints: what they predict, with which task switcher, at which timestep and resolution."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lotus_recon.config import nearest
from lotus_recon.errors import InputError, ModelError
from lotus_recon.models.base import TASKS, check_choice
from lotus_recon.types import DepthKind

OWNER = "jingheya"  # of the released checkpoints on the Hugging Face Hub
METADATA_FILE = "lotus.json"  # in checkpoints written by this program

TIMESTEP = 999  # the single step: x_t is (almost) pure noise, the network predicts the annotation itself
# The task switcher: the U-Net's class embedding projects [sin(switcher), cos(switcher)].
ANNOTATION: tuple[float, ...] = (1.0, 0.0)
RECONSTRUCTION: tuple[float, ...] = (0.0, 1.0)
RELEASED_RES = 768  # longer edge in pixels at which the official demo and evaluation run

# What a depth checkpoint's output is affine in. The longer spelling is that of the depth kind.
DEPTH_KINDS = {"disparity": DepthKind.AFFINE_DISPARITY, "depth": DepthKind.AFFINE}
_SPELLINGS = {kind.value.lower(): space for space, kind in DEPTH_KINDS.items()}

MODES = {"G": "generative", "D": "discriminative"}
# What the U-Net's output is: the annotation's latent itself, the noise in its input, or the velocity between them.
PREDICTION_TYPES = ("sample", "epsilon", "v_prediction")
# What a checkpoint was trained at: its one timestep, or all that the schedule has.
TIMESTEPS = ("single", "uniform")


@dataclass(frozen=True)
class Metadata:
    """What inference needs besides the weights of a checkpoint."""

    tasks: Mapping[str, tuple[float, ...]]  # depth and/or normal -> task switcher
    depth_space: str | None  # disparity | depth; None when unknown or when it predicts no depth
    mode: str | None = None  # G | D; None: whatever the U-Net says
    timestep: int = TIMESTEP
    reconstruction: tuple[float, ...] = RECONSTRUCTION  # task switcher of the image itself, for training
    processing_res: int = RELEASED_RES  # default longer edge in pixels; 0 = as is
    prediction_type: str = "sample"  # see PREDICTION_TYPES
    timesteps: str = "single"  # see TIMESTEPS
    inference_steps: int = 1  # more than one: DDIM over the whole schedule, from pure noise

    @property
    def needs_noise(self) -> bool:
        """Whether the formulation needs noise in the input, which only generative checkpoints have."""
        return self.prediction_type != "sample" or self.timesteps != "single" or self.inference_steps > 1


def _released(task: str, mode: str, depth_space: str | None = None) -> Metadata:
    return Metadata({task: ANNOTATION}, depth_space, mode)


RELEASED: Mapping[str, Metadata] = {
    "lotus-depth-g-v1-0": _released("depth", "G", "depth"),
    "lotus-depth-d-v1-0": _released("depth", "D", "depth"),
    "lotus-depth-g-v2-1-disparity": _released("depth", "G", "disparity"),
    "lotus-depth-d-v2-0-disparity": _released("depth", "D", "disparity"),
    "lotus-normal-g-v1-1": _released("normal", "G"),
    "lotus-normal-d-v1-1": _released("normal", "D"),
}

PAIRS: Mapping[str, tuple[str, str]] = {
    "lotus-d": ("lotus-depth-d-v2-0-disparity", "lotus-normal-d-v1-1"),
    "lotus-g": ("lotus-depth-g-v2-1-disparity", "lotus-normal-g-v1-1"),
}


def known_metadata(source: str, folder: Path | None) -> Metadata | None:
    """Metadata of a checkpoint from its own lotus.json, else from its name, else None.

    source: what the user named (folder or Hub id); folder: where its files are, None when they are not here yet.
    """
    if folder is not None and (folder / METADATA_FILE).is_file():
        return read_metadata(folder / METADATA_FILE)
    return RELEASED.get(Path(source).name)


def with_options(source: str, metadata: Metadata | None, task: str | None, depth_space: str | None) -> Metadata:
    """``metadata`` restricted to ``task``, or for an unknown checkpoint (None) the metadata that the options give.

    Raises InputError when an option is unknown, missing, or contradicts the metadata.
    """
    check_choice("--task", task, TASKS)
    space = _depth_space(depth_space)
    if metadata is None:
        if task is None:
            if (Path(source) / "model" / METADATA_FILE).is_file():
                raise InputError(f"{source} is the folder of a training run; its model is {Path(source) / 'model'}")
            raise InputError(
                f"{source} has no {METADATA_FILE} and is not a released checkpoint: specify --task depth or --task "
                "normal; for depth, specify also what it is affine in: --depth-space disparity or --depth-space depth"
            )
        return Metadata({task: ANNOTATION}, space if task == "depth" else None)
    if task is not None and task not in metadata.tasks:
        raise InputError(f"--task {task}: {source} predicts {' and '.join(metadata.tasks)} only")
    if space is not None and metadata.depth_space not in (None, space):
        raise InputError(f"--depth-space {space}: the depth of {source} is affine in {metadata.depth_space}")
    return replace(metadata, tasks={task: metadata.tasks[task]}) if task is not None else metadata


def _depth_space(text: str | None) -> str | None:
    if text is None:
        return None
    space = _SPELLINGS.get(text.lower(), text.lower())
    check_choice("--depth-space", space, tuple(DEPTH_KINDS))
    return space


def check_depth_space(source: str, metadata: Metadata) -> None:
    """Raise InputError when depth is to be predicted and its depth space is unknown."""
    if "depth" in metadata.tasks and metadata.depth_space is None:
        raise InputError(
            f"{source} does not specify what its depth is affine in: use --depth-space disparity (larger = nearer) or "
            "--depth-space depth (larger = farther)"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint. Raises ModelError naming the file."""
    try:
        value = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object")
    return value


def read_metadata(path: Path) -> Metadata:
    """Metadata from a lotus.json. Raises ModelError naming the file and the key.

    ``{"tasks": {"depth": [1, 0]}, "depth_space": "disparity", "mode": "D", "timestep": 999, "processing_res": 512}``;
    optional: mode, timestep, reconstruction (task switcher of the image itself), processing_res, prediction_type,
    timesteps, inference_steps (defaults as in ``Metadata``), and depth_space where no depth is predicted.
    """
    text = read_json(path)
    allowed = [field.name for field in fields(Metadata)]
    for key in text:
        if key not in allowed:
            raise ModelError(f"{path}: unknown key {key!r}{nearest(key, allowed)}")
    try:
        return _metadata(text)
    except (InputError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from None


def write_metadata(metadata: Metadata, path: Path) -> None:
    """Write a lotus.json that ``read_metadata`` turns into the same metadata, with every default spelled out."""
    path.write_text(json.dumps(asdict(metadata), indent=2) + "\n")


def _metadata(text: dict[str, Any]) -> Metadata:
    tasks = text.get("tasks")
    if not isinstance(tasks, dict) or not tasks or not set(tasks) <= set(TASKS):
        raise ValueError(f"'tasks' must map {' and/or '.join(TASKS)} to task switchers, not {tasks!r}")
    switchers = {task: _switcher(f"tasks.{task}", tasks[task]) for task in TASKS if task in tasks}
    space = text.get("depth_space")
    if "depth" in switchers and not isinstance(space, str):
        raise ValueError("'depth_space' is missing: disparity or depth")
    mode = text.get("mode")
    check_choice("'mode'", mode, tuple(MODES))
    formulation = {
        "prediction_type": text.get("prediction_type") or PREDICTION_TYPES[0],
        "timesteps": text.get("timesteps") or TIMESTEPS[0],
    }
    check_choice("'prediction_type'", formulation["prediction_type"], PREDICTION_TYPES)
    check_choice("'timesteps'", formulation["timesteps"], TIMESTEPS)
    metadata = Metadata(
        tasks=switchers,
        depth_space=_depth_space(space) if "depth" in switchers else None,
        mode=mode,
        timestep=_natural("timestep", text.get("timestep", TIMESTEP)),
        reconstruction=_switcher("reconstruction", text.get("reconstruction", RECONSTRUCTION)),
        processing_res=_natural("processing_res", text.get("processing_res", RELEASED_RES)),
        inference_steps=_natural("inference_steps", text.get("inference_steps", 1)),
        **formulation,
    )
    if metadata.inference_steps < 1 or (metadata.inference_steps > 1 and metadata.timesteps == "single"):
        raise ValueError("'inference_steps' must be 1, or more for a checkpoint trained with 'timesteps' uniform")
    return metadata


def _switcher(key: str, value: Any) -> tuple[float, ...]:
    numbers = isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) for v in value)
    if not numbers or not value:
        raise ValueError(f"'{key}' must be a list of numbers, not {value!r}")
    return tuple(float(v) for v in value)


def _natural(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"'{key}' must be a whole number of 0 or more, not {value!r}")
    return value
