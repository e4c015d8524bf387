"""YAML, bounded in size, no key twice, aliases that cannot explode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lotus_recon.errors import InputError

MAX_BYTES = 64 << 20
MAX_NODES = 5_000_000  # of the document with every alias written out; 10,000 scenes of 50 keys are a fifth
MAX_DEPTH = 50

# The C loader reads a manifest of 10,000 scenes in a second, the Python one in ten.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_bounded(text: str, where: str) -> Any:
    """The value of a YAML document.

    Raises InputError naming ``where``: not YAML, too large, an alias inside itself or a document that aliases blow up
    ("billion laughs"), a key that stands twice in one mapping (YAML would take the last).
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"{where} has {len(text) >> 20} MB; at most {MAX_BYTES >> 20} MB are allowed")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, where, {}, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where} is not YAML: {' '.join(str(error).split())}") from None


def load_bounded_file(path: Path, where: str) -> Any:
    """The value of a YAML file. Raises InputError as ``load_bounded`` does, and when it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{where} has {path.stat().st_size >> 20} MB; at most {MAX_BYTES >> 20} MB are allowed")
        return load_bounded(path.read_text(encoding="utf-8"), where)
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not YAML: {error}") from None


def _count(node: yaml.Node, where: str, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Nodes below and with ``node``, every alias written out; each node is walked once."""
    if id(node) in above:
        raise InputError(f"{where}, line {node.start_mark.line + 1}: an alias stands inside what it names")
    if id(node) in known:
        return known[id(node)]
    if len(above) > MAX_DEPTH:
        raise InputError(f"{where}, line {node.start_mark.line + 1}: more than {MAX_DEPTH} levels")
    below = (*above, id(node))
    total = 1
    if isinstance(node, yaml.SequenceNode):
        total += sum(_count(item, where, known, below) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        _refuse_doubles(node, where)
        total += sum(_count(part, where, known, below) for pair in node.value for part in pair)
    if total > MAX_NODES:
        raise InputError(f"{where}: its aliases stand for more than {MAX_NODES} values; write less")
    known[id(node)] = total
    return total


def _refuse_doubles(node: yaml.MappingNode, where: str) -> None:
    keys = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in keys:
                raise InputError(f"{where}, line {key.start_mark.line + 1}: key {key.value!r} stands twice")
            keys.add(key.value)
