"""Which models exist, and how one is made from its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from lotus_recon.config import nearest
from lotus_recon.errors import InputError
from lotus_recon.models import precomputed
from lotus_recon.models.base import (
    Model,
    ModelInfo,
    ModelOptions,
    check_device_name,
    check_dtype_name,
)
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.lotus import family as lotus
from lotus_recon.models.nano import family as nano


class Family(Protocol):
    """What a module offers to be registered: the names it knows and how to make a model from one."""

    NAMES: Mapping[str, str]  # name -> one line of help

    def accepts(self, name: str) -> bool:
        """Whether ``name`` belongs to this family: one of NAMES, or a form (folder, Hub id) that it understands."""
        ...

    def check(self, name: str, options: ModelOptions) -> ModelInfo:
        """What is known of the model without loading it. Raises InputError when the name and the options do not fit."""
        ...

    def load(self, name: str, options: ModelOptions, device: str, dtype: str) -> Model:
        """The model, ready to predict."""
        ...

    def fetch(self, name: str, options: ModelOptions) -> None:
        """Bring the files of the model to this machine. Raises ModelError when that cannot be done."""
        ...

    def fingerprint(self, name: str, options: ModelOptions) -> str:
        """Changes when the model behind the same name and options does."""
        ...


# In this order they are asked whose folder it is: that of nano says so itself.
_MODULES: tuple[ModuleType, ...] = (nano, lotus, precomputed)
FAMILIES: tuple[Family, ...] = tuple(cast(Family, module) for module in _MODULES)
ModelSource = Callable[[str, ModelOptions, str, str], Model]  # name, options, device, dtype

_source: ModelSource | None = None


def available_models() -> str:
    """Text for the screen: the models there are, and how to get one."""
    known = {name: line for family in FAMILIES for name, line in family.NAMES.items()}
    width = max(map(len, known))
    table = "\n".join(f"  {name:<{width}}  {line}" for name, line in known.items())
    return (
        f"Models (--model NAME):\n{table}\n"
        "Also: DEPTH,NORMAL (two checkpoints, each a name, a Hub id or a folder), one Hub id (owner/name), or one\n"
        "folder with unet/, vae/, text_encoder/, tokenizer/ and scheduler/.\n"
        "Named checkpoints are downloaded from the Hugging Face Hub at first use and kept in its cache; on a machine\n"
        "without network, copy the folder there and give its path. Maps of any other estimator, or of a sensor, go in\n"
        "with --model precomputed --predictions DIR.\n"
    )


def maker_of(config: PredictionConfig) -> str:
    """What predicts, as the subject of a message: the model, or the folder of stored maps."""
    return f"--model {config.model} has" if config.predictions is None else f"--predictions {config.predictions} holds"


def options_of(config: PredictionConfig) -> ModelOptions:
    """The part of the configuration that goes with the model's name."""
    return ModelOptions(
        predictions=config.predictions,
        task=config.task,
        depth_space=config.depth_space,
        revision=config.revision,
        processing_res=config.processing_res,
        batch_size=config.images_per_batch,
    )


def check_model(
    name: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    options: ModelOptions | None = None,
) -> ModelInfo:
    """Name and tasks of a model, after every check that needs no weights.

    Raises InputError: an unknown name (with the nearest), an option that is missing, unknown or contradicts
    what the checkpoint is known to be, a folder that is not there.
    """
    check_device_name(device)
    check_dtype_name(dtype)
    return _family(name).check(name, options or ModelOptions())


def load_model(
    name: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    predictions: Path | str | None = None,
    task: str | None = None,
    depth_space: str | None = None,
    revision: str | None = None,
    processing_res: int | None = None,
    batch_size: int | None = None,
) -> Model:
    """A model ready to predict: a name of ``available_models``, a Hub id, a folder, ``DEPTH,NORMAL``, ``precomputed``.

    device: auto | cpu | cuda | mps. dtype: auto | float32 | float16 | bfloat16 (the latter two on CUDA only).
    predictions: folder of stored maps, for ``precomputed``. task (depth | normal), depth_space (disparity | depth):
    for a checkpoint of unknown name. revision: of a Hub id. processing_res: longer edge in pixels, 0 = as is, None =
    the checkpoint's own. batch_size: images per network call.
    Raises InputError for what ``check_model`` finds, ModelError when the weights are missing or broken.
    """
    folder = None if predictions is None else Path(predictions)
    return make_model(
        name, ModelOptions(folder, task, depth_space, revision, processing_res, batch_size), device, dtype
    )


def make_model(name: str, options: ModelOptions, device: str = "auto", dtype: str = "auto") -> Model:
    """``load_model`` for options that come as one."""
    check_model(name, device, dtype, options=options)
    return (_source or load_anew)(name, options, device, dtype)


def load_anew(name: str, options: ModelOptions, device: str, dtype: str) -> Model:
    """A model from its files, checked before, whatever the source is."""
    return _family(name).load(name, options, device, dtype)


def set_model_source(source: ModelSource | None) -> None:
    """Where ``make_model`` gets its models: from their files (None), or from who keeps them in memory."""
    global _source
    _source = source


def model_fingerprint(name: str, options: ModelOptions) -> str:
    """Changes when the weights or stored maps behind ``name`` do: for the input hash of a stage."""
    return _family(name).fingerprint(name, options)


def _family(name: str) -> Family:
    named = [family for family in FAMILIES if name in family.NAMES]
    for family in named or FAMILIES:
        if named or family.accepts(name):
            return family
    known = [known for family in FAMILIES for known in family.NAMES]
    raise InputError(
        f"--model {name!r} is neither a known name, a Hub id (owner/name) nor a folder{nearest(name, known)}\n"
        f"{available_models()}"
    )


def fetch_model(name: str, options: ModelOptions) -> None:
    """Bring the files of a model to this machine before long work. Raises ModelError when that cannot be done."""
    _family(name).fetch(name, options)
