"""Configuration: frozen dataclasses hold the defaults, a YAML file overlays them, unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from lotus_recon.errors import InputError
from lotus_recon.workspace import to_plain, write_atomically

Config = TypeVar("Config")


def load_config(config_type: type[Config], path: Path | None, base: Config | None = None) -> Config:
    """``base`` (or the defaults of ``config_type``) with the values of a YAML file laid over it.

    Raises InputError naming the file and the key: for a missing file, text that is not a mapping, an unknown key (with
    the nearest known one) or a value of the wrong type.
    """
    start = config_type() if base is None else base
    if path is None:
        return start
    where = f"config file {path}"
    overlay = _read_mapping(path)
    _check_keys(config_type, overlay, where, prefix="")
    return _merged(start, overlay, where, prefix="")


def overlaid(start: Config, overlay: dict[str, Any], where: str) -> Config:
    """``start`` with a mapping of options laid over it. Raises InputError as ``load_config`` does."""
    _check_keys(type(start), overlay, where, prefix="")
    return _merged(start, overlay, where, prefix="")


def unknown_key(config_type: Any, overlay: dict[str, Any]) -> str:
    """What is wrong with the keys of a mapping of options; empty when all are known."""
    try:
        _check_keys(config_type, overlay, "options", prefix="")
    except InputError as error:
        return str(error)
    return ""


def parse_yaml(kind: Any, text: str) -> Any:
    """A dataclass or a list of dataclasses written as YAML, such as ``[{kind: rooms}, {kind: folder}]``.

    Raises InputError as ``load_config`` does.
    """
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{text!r} is not YAML: {error}") from None
    holder = dataclasses.make_dataclass("Holder", [("value", kind, dataclasses.field(default_factory=kind))])
    _check_keys(holder, {"value": value}, f"{text!r}", prefix="")
    return _merged(holder(), {"value": value}, f"{text!r}", prefix="").value


def _read_mapping(path: Path) -> dict[str, Any]:
    import yaml

    try:
        overlay = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"config file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"config file {path} is not YAML: {error}") from None
    if overlay is None:
        return {}
    if not isinstance(overlay, dict):
        raise InputError(f"config file {path} must hold a mapping of options, not {type(overlay).__name__}")
    return overlay


def _check_keys(config_type: Any, overlay: dict[str, Any], where: str, prefix: str) -> None:
    hints = _field_types(config_type)
    for key, value in overlay.items():
        if key not in hints:
            hint = _elsewhere(config_type, str(key), prefix) or nearest(str(key), list(hints))
            raise InputError(f"{where}: unknown key {prefix + str(key)!r}{hint}")
        kind, name = hints[key], f"{prefix}{key}"
        if dataclasses.is_dataclass(kind):
            _check_mapping(kind, value, where, name)
        elif (item_kind := list_of_configs(kind)) is not None:
            _check_items(item_kind, value, where, name)
        elif get_origin(kind) is list and not isinstance(value, list):
            raise InputError(f"{where}: {name} must be a list, such as [{value}], not {value!r}")


def _check_mapping(config_type: Any, value: Any, where: str, name: str) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {name} must be a mapping, not {value!r}")
    _check_keys(config_type, value, where, prefix=f"{name}.")


def _check_items(config_type: Any, value: Any, where: str, name: str) -> None:
    if not isinstance(value, list):
        raise InputError(f"{where}: {name} must be a list of mappings, not {value!r}")
    for index, item in enumerate(value):
        _check_mapping(config_type, item, where, f"{name}[{index}]")
        # OmegaConf does not say which item of a list has a bad value.
        _merged(config_type(), item, where, prefix=f"{name}[{index}].")


def list_of_configs(kind: Any) -> Any | None:
    """The dataclass that the type ``kind`` is a list of; None for any other type."""
    items = get_args(kind) if get_origin(kind) is list else ()
    return items[0] if items and dataclasses.is_dataclass(items[0]) else None


def _elsewhere(config_type: Any, key: str, prefix: str) -> str:
    """``; did you mean ...`` when a group of options has the key: command lines name it without its group."""
    kinds = _field_types(config_type)
    groups: dict[str, Any] = {name: kind for name, kind in kinds.items() if dataclasses.is_dataclass(kind)}
    found = [name for name, kind in groups.items() if key in _field_types(kind)]
    return f"; did you mean {prefix + found[0] + '.' + key!r}?" if found else ""


def nearest(word: str, known: list[str]) -> str:
    """``; did you mean ...`` for the known word nearest to ``word``, or the list of known words."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


@functools.cache
def _field_types(config_type: Any) -> dict[str, Any]:
    hints = get_type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


def _merged(start: Config, overlay: dict[str, Any], where: str, prefix: str) -> Config:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        merged = OmegaConf.merge(OmegaConf.structured(start), OmegaConf.create(overlay))
        result: Config = OmegaConf.to_object(merged)  # type: ignore[assignment]  # an instance of type(start)
        return result
    except OmegaConfBaseException as error:
        key = f"{prefix}{getattr(error, 'full_key', None)}"
        raise InputError(f"{where}: {key}: {str(error).splitlines()[0]}") from None


def save_config(config: Any, path: Path) -> None:
    """Write every option with its value as YAML, in the order of the dataclasses."""
    import yaml

    text = yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)
    write_atomically(path, lambda part: part.write_text(text))


def leaf_fields(config_type: Any) -> Iterator[tuple[str, Any]]:
    """(name, type) of every option, nested configs opened."""
    for name, kind in _field_types(config_type).items():
        if dataclasses.is_dataclass(kind):
            yield from leaf_fields(kind)
        else:
            yield name, kind


@dataclasses.dataclass(frozen=True)
class Runtime:
    """How to compute, apart from what: shared by all stages of a run."""

    device: str = "auto"  # auto | cpu | cuda | mps
    dtype: str = "auto"  # auto | float32 | float16 | bfloat16, for the network
    seed: int = 0  # of everything random
    deterministic: bool = False  # repeat a run bit for bit, at the price of speed
