"""The folder of a nano checkpoint: config.json, model.safetensors, lotus.json. Loads no network library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lotus_recon.errors import ModelError
from lotus_recon.models.lotus.checkpoints import METADATA_FILE, Metadata, read_json, read_metadata

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CLASS_NAME = "NanoNetwork"  # in config.json, as diffusers writes it: what the folder holds
SHIPPED = Path(__file__).parent / "weights"  # the checkpoint that travels with the package


def is_nano(folder: Path) -> bool:
    """Whether a folder says that it is a nano checkpoint."""
    config = folder / CONFIG_FILE
    return config.is_file() and read_json(config).get("_class_name") == CLASS_NAME


def check_complete(folder: Path) -> None:
    """Raise ModelError naming the files that a checkpoint lacks."""
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE, METADATA_FILE) if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"the nano checkpoint in {folder} is incomplete; missing: {', '.join(missing)}")


def metadata(folder: Path) -> Metadata:
    """What the checkpoint predicts. Raises ModelError naming what is missing or wrong."""
    check_complete(folder)
    return read_metadata(folder / METADATA_FILE)


def network_config(folder: Path) -> dict[str, Any]:
    """The arguments of the network, from config.json. Raises ModelError when the folder holds something else."""
    if not is_nano(folder):
        raise ModelError(f"{folder} is not a nano checkpoint: no {CONFIG_FILE} there says _class_name {CLASS_NAME}")
    config = read_json(folder / CONFIG_FILE)
    del config["_class_name"]
    return config
