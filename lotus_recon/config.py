"""Configuration: frozen dataclasses hold the defaults, a YAML file overlays them, what they do not know is an error."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lotus_recon.bounded_yaml import load_bounded, load_bounded_file
from lotus_recon.errors import InputError
from lotus_recon.limits import CompileMode, Seed
from lotus_recon.options import Option, Options, described, fields_of
from lotus_recon.renamed import new_value, with_new_names
from lotus_recon.workspace import to_plain, write_atomically

Config = TypeVar("Config", bound=Any)


def load_config(config_type: type[Config], path: Path | None, base: Config | None = None) -> Config:
    """``base`` (or the defaults of ``config_type``) with the values of a YAML file laid over it.

    Raises InputError naming the file and the key: for a missing file, text that is not a mapping, a key that stands
    twice or is unknown (with the nearest known one), and OptionError for a value that its option does not take.
    """
    start = config_type() if base is None else base
    if path is None:
        return start
    return overlaid(start, _read_mapping(path), f"config file {path}")


def overlaid(start: Config, overlay: Mapping[str, Any], where: str) -> Config:
    """``start`` with a mapping of options laid over it; old names count. Raises InputError as ``load_config`` does."""
    renamed = with_new_names(type(start), overlay, where)
    if wrong := unknown_key(type(start), renamed):
        raise InputError(f"{where}: {wrong}")
    return _built(start, renamed, where, prefix="")


def unknown_key(config_type: Any, overlay: Mapping[str, Any], prefix: str = "") -> str:
    """Which key of a mapping of options is unknown, with the nearest known one; empty when all are known."""
    known = fields_of(config_type)
    for key, value in overlay.items():
        if key not in known:
            hint = _elsewhere(known, str(key), prefix) or nearest(str(key), list(known))
            return f"unknown key {prefix + str(key)!r}{hint}"
        group = known[key].group
        if group is not None and isinstance(value, Mapping) and (wrong := unknown_key(group, value, f"{prefix}{key}.")):
            return wrong
    return ""


def parse_yaml(kind: Any, text: str, where: str) -> Any:
    """A group of options or a list of them written as YAML, such as ``[{kind: rooms}, {kind: folder}]``.

    Raises InputError as ``load_config`` does.
    """
    option = described(where, kind)
    start = None if option.is_list else option.kind()
    return _value(option, start, load_bounded(text, where), where, "")


def _read_mapping(path: Path) -> dict[str, Any]:
    where = f"config file {path}"
    overlay = load_bounded_file(path, where)
    if overlay is None:
        return {}
    if not isinstance(overlay, dict):
        raise InputError(f"{where} must hold a mapping of options, not {type(overlay).__name__}")
    return overlay


def _built(start: Config, overlay: Mapping[str, Any], where: str, prefix: str) -> Config:
    """``start`` with the values of a mapping whose keys are known."""
    known = fields_of(type(start))
    changes = {
        key: _value(known[key], getattr(start, key), value, where, f"{prefix}{key}") for key, value in overlay.items()
    }
    try:
        return dataclasses.replace(start, **changes)
    except InputError as error:  # values that do not fit each other
        raise InputError(f"{where}: {prefix}{error}") from None


def _value(option: Option, start: Any, value: Any, where: str, key: str) -> Any:
    if option.group is not None:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: {key} must be a mapping, not {value!r}")
        return _built(start, value, where, f"{key}.")
    if not option.is_group:
        return option.parsed(new_value(option, value), f"{where}: {key}")
    if not isinstance(value, list):
        raise InputError(f"{where}: {key} must be a list of mappings, not {value!r}")
    return [_item(option.kind, item, where, f"{key}[{index}]") for index, item in enumerate(value)]


def _item(kind: Any, item: Any, where: str, key: str) -> Any:
    if not isinstance(item, Mapping):
        raise InputError(f"{where}: {key} must be a mapping, not {item!r}")
    if wrong := unknown_key(kind, item, f"{key}."):
        raise InputError(f"{where}: {wrong}")
    return _built(kind(), item, where, f"{key}.")


def _elsewhere(known: Mapping[str, Option], key: str, prefix: str) -> str:
    """``; did you mean ...`` when a group of options has the key: command lines name it without its group."""
    groups = [name for name, option in known.items() if option.group is not None and key in fields_of(option.group)]
    return f"; did you mean {prefix + groups[0] + '.' + key!r}?" if groups else ""


def nearest(word: str, known: list[str]) -> str:
    """``; did you mean ...`` for the known word nearest to ``word``, or the list of known words."""
    return did_you_mean(word, known) or f"; known: {', '.join(sorted(known))}"


def did_you_mean(word: str, known: list[str]) -> str:
    """``; did you mean ...`` for the known word nearest to ``word``; empty when none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def save_config(config: Any, path: Path) -> None:
    """Write every option with its value as YAML, in the order of the dataclasses."""
    import yaml

    text = yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)
    write_atomically(path, lambda part: part.write_text(text))


@dataclasses.dataclass(frozen=True)
class Runtime(Options):
    """How to compute, apart from what: shared by all stages of a run."""

    # Where to compute: auto, cpu, cuda or mps.
    device: str = "auto"
    # Of the network: auto, float32, float16 (on CUDA) or bfloat16 (on CUDA, and on CPUs made for it, less exact).
    dtype: str = "auto"
    # Compile the networks: auto where the photos to come save more time than compiling takes.
    compile: CompileMode = "auto"
    # Of everything random.
    seed: Seed = 0
    # Repeat a run bit for bit, at the price of speed.
    deterministic: bool = False
