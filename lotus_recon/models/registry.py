"""The registry of models, and how to create one from its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from lotus_recon.config import Runtime, nearest
from lotus_recon.errors import InputError
from lotus_recon.limits import CompileMode
from lotus_recon.models import precomputed
from lotus_recon.models.base import (
    Model,
    ModelInfo,
    ModelOptions,
    check_device_name,
    check_dtype_name,
    check_ensemble,
    check_tiles,
)
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.layouts import Axes
from lotus_recon.models.lotus import family as lotus
from lotus_recon.models.nano import family as nano


class Family(Protocol):
    """The interface of a registered module: its names, and how to create a model from one."""

    NAMES: Mapping[str, str]  # name -> one line of help

    def accepts(self, name: str) -> bool:
        """Whether ``name`` belongs to this family: one of NAMES, or a form (folder, Hub id) that it understands."""
        ...

    def check(self, name: str, options: ModelOptions) -> ModelInfo:
        """Name and tasks, without loading. Raises InputError when the name and the options do not fit together."""
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


# In this order they are asked whether they accept a folder: nano recognises its own.
_MODULES: tuple[ModuleType, ...] = (nano, lotus, precomputed)
FAMILIES: tuple[Family, ...] = tuple(cast(Family, module) for module in _MODULES)
ModelSource = Callable[[str, ModelOptions, str, str], Model]  # name, options, device, dtype

_source: ModelSource | None = None


def available_models() -> str:
    """Text for the screen: the available models, and how to get them."""
    help_lines = {name: line for family in FAMILIES for name, line in family.NAMES.items()}
    width = max(map(len, help_lines))
    table = "\n".join(f"  {name:<{width}}  {line}" for name, line in help_lines.items())
    return (
        f"Models (--model NAME):\n{table}\n"
        "Also: DEPTH,NORMAL (two checkpoints, each a name, a Hub id or a folder), one Hub id (owner/name), or one\n"
        "folder with unet/, vae/, text_encoder/, tokenizer/ and scheduler/.\n"
        "Named checkpoints are downloaded from the Hugging Face Hub at first use and kept in its cache; on a machine\n"
        "without network, copy the folder there and give its path. For maps of another estimator or of a sensor, use\n"
        "--model precomputed --predictions DIR.\n"
    )


def maker_of(config: PredictionConfig) -> str:
    """The source of predictions as the subject of a message: the model, or the folder of stored maps."""
    return f"--model {config.model} has" if config.predictions is None else f"--predictions {config.predictions} holds"


def options_of(config: PredictionConfig, runtime: Runtime | None = None) -> ModelOptions:
    """The model options of a prediction config; with those of the run too where the model is to predict."""
    return ModelOptions(
        predictions=config.predictions,
        task=config.task,
        depth_space=config.depth_space,
        revision=config.revision,
        processing_res=config.processing_res,
        batch_size=config.advanced.images_per_batch,
        compile="auto" if runtime is None else _compile_of(runtime),
        depth_kind=config.depth_kind,
        depth_unit=config.depth_unit,
        normals_axes=config.normals_axes,
        tiles=config.tiles,
        ensemble=config.ensemble,
    )


def _compile_of(runtime: Runtime) -> CompileMode:
    """What ``auto`` decides depends on the time that photos take: not in a run that is to repeat bit for bit."""
    return "off" if runtime.deterministic and runtime.compile == "auto" else runtime.compile


def check_model(
    name: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    options: ModelOptions | None = None,
) -> ModelInfo:
    """Name and tasks of a model, after every check that needs no weights.

    Raises InputError for an unknown name (suggesting the nearest), an option that is missing, unknown or contradicts
    the metadata of the checkpoint, and a missing folder.
    """
    check_device_name(device)
    check_dtype_name(dtype)
    options = options or ModelOptions()
    info = _family(name).check(name, options)
    check_tiles(options.tiles, info.processing_res)
    check_ensemble(options.ensemble, info)
    return info


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
    compile: CompileMode = "auto",
    depth_kind: str | None = None,
    depth_unit: str | None = None,
    normals_axes: Axes | None = None,
    tiles: str = "off",
    ensemble: int = 1,
) -> Model:
    """A model ready to predict: a name of ``available_models``, a Hub id, a folder, ``DEPTH,NORMAL``, ``precomputed``.

    device: auto | cpu | cuda | mps. dtype: auto | float32 | float16 | bfloat16 (float16 on CUDA only).
    predictions: folder of stored maps, for ``precomputed``; depth_kind (a DepthKind), depth_unit (m, cm, mm, or metres)
    and normals_axes (opencv, opengl, lotus): what its files do not say. task (depth | normal), depth_space
    (disparity | depth): for a checkpoint of unknown name. revision: of a Hub id. processing_res: longer edge in
    pixels, 0 = as is, None = the checkpoint's own. batch_size: images per network call. compile: the networks, by
    torch.compile: auto | on | off. tiles: off | auto | longer side of a tile in pixels of the photo.
    ensemble: predictions of every photo, whose median is taken and whose spread becomes the map's sigma.
    Raises InputError for what ``check_model`` finds, ModelError when the weights are missing or broken.
    """
    folder = None if predictions is None else Path(predictions)
    options = ModelOptions(folder, task, depth_space, revision, processing_res, batch_size, compile)
    options = replace(
        options, depth_kind=depth_kind, depth_unit=depth_unit, normals_axes=normals_axes, tiles=tiles, ensemble=ensemble
    )
    return make_model(name, options, device, dtype)


def make_model(name: str, options: ModelOptions, device: str = "auto", dtype: str = "auto") -> Model:
    """``load_model`` with the options as one object."""
    info = check_model(name, device, dtype, options=options)
    model = (_source or load_from_files)(name, replace(options, tiles="off", ensemble=1), device, dtype)
    if options.tiles != "off":
        from lotus_recon.models.tiling import TiledModel

        model = TiledModel(model, info.processing_res, options.tiles, info.sharpens)
    if options.ensemble > 1:
        from lotus_recon.models.ensemble import EnsembleModel

        model = EnsembleModel(model, options.ensemble, info)
    return model


def load_from_files(name: str, options: ModelOptions, device: str, dtype: str) -> Model:
    """Load a model from its files, after ``check_model``, bypassing the model source."""
    return _family(name).load(name, options, device, dtype)


def set_model_source(source: ModelSource | None) -> None:
    """Set where ``make_model`` gets models: from their files (None), or from a cache."""
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
    names = [name for family in FAMILIES for name in family.NAMES]
    raise InputError(
        f"--model {name!r} is neither a known name, a Hub id (owner/name) nor a folder{nearest(name, names)}\n"
        f"{available_models()}"
    )


def fetch_model(name: str, options: ModelOptions) -> None:
    """Bring the files of a model to this machine before long work. Raises ModelError when that cannot be done."""
    _family(name).fetch(name, options)
