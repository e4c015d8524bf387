"""Files that are broken as disks, networks, editors and people break them; the same ones for the same seed."""

from __future__ import annotations

import io
import json
import math
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Mutation = Callable[[bytes, random.Random], bytes]

WHOLE = "whole"  # a folder whose files stay as they are

_WRONG: list[Any] = [
    None, "", "text", "a\0b", "../../x", "=1+1", [], {}, [[]], [1], True, math.nan, math.inf, 10**400, 1e300, 1e-300,
    -1e30, -1, 0, 0.5, 2**31, 2**63, "9" * 5000,
]  # fmt: skip
_INTEGERS = (0, 1, -1, 127, 255, 2**15, 2**16, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**63 - 1, -(2**63))
_FLOATS = (math.nan, math.inf, -math.inf, 1e300, -1e30, 1e-300, 0.0)
_WORDS = (
    b"",
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"x",
    b"\xff\xfe",
    b"\0",
    b"99999999999",
    b"-",
    b"\xef\xbb\xbf",
)


def mutated(content: bytes, suffix: str, chance: random.Random) -> bytes:
    """Another content for a file with this suffix: by its structure, or, a third of the time, by its bytes."""
    by_structure = _STRUCTURED.get(suffix)
    if by_structure is None or chance.random() < 1 / 3:
        return _some_of(_BYTES, content, chance)
    try:
        return by_structure(content, chance)
    except (ValueError, KeyError, IndexError, TypeError, zlib.error, yaml.YAMLError, zipfile.BadZipFile):
        return _some_of(_BYTES, content, chance)


def _some_of(mutations: tuple[Mutation, ...], content: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(mutations)(content, chance)
    return content


def _place(content: bytes, chance: random.Random) -> int:
    """A place in a file; rather in its first bytes, where headers are."""
    end = len(content) if chance.random() < 0.5 else min(len(content), 256)
    return chance.randrange(end) if end else 0


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8) if changed else 0):
        changed[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))] if content else b""


def _without_a_piece(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at + chance.choice((1, 4, 16, 300)) :]


def _twice_a_piece(content: bytes, chance: random.Random) -> bytes:
    at, size = _place(content, chance), chance.choice((1, 4, 16, 300))
    return content[: at + size] + content[at:]


def _zeros(content: bytes, chance: random.Random) -> bytes:
    """As a disk that lost a block gives it back."""
    at, size = _place(content, chance), chance.choice((4, 64, 512, 4096))
    return content[:at] + bytes([chance.choice((0, 255))]) * min(size, len(content) - at) + content[at + size :]


def _number(content: bytes, chance: random.Random) -> bytes:
    """A number of 4 or 8 bytes in another's place."""
    at = _place(content, chance)
    wide = chance.random() < 0.5
    if chance.random() < 0.5:
        value = chance.choice(_INTEGERS)
        packed = struct.pack("<q", max(-(2**63), min(value, 2**63 - 1)))[: 8 if wide else 4]
    else:
        real = chance.choice(_FLOATS)
        packed = struct.pack("<d", real) if wide else struct.pack("<f", max(-3e38, min(real, 3e38)))
    return content[:at] + packed + content[at + len(packed) :]


def _noise(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + chance.randbytes(chance.choice((1, 16, 500))) + content[at:]


_BYTES: tuple[Mutation, ...] = (
    _flipped, _flipped, _cut, _without_a_piece, _twice_a_piece, _zeros, _number, _number, _noise,
    lambda content, chance: b"",
    lambda content, chance: chance.randbytes(chance.choice((1, 100, 5000))),
    lambda content, chance: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
)  # fmt: skip


def _text(content: bytes, chance: random.Random) -> bytes:
    return _some_of((_word, _word, _line), content, chance)


def _word(content: bytes, chance: random.Random) -> bytes:
    words = list(re.finditer(rb"[^\s,;=:]+", content))
    if not words:
        return b"x"
    word = chance.choice(words)
    new = chance.choice((*_WORDS, chance.choice(words)[0]))
    return content[: word.start()] + new + content[word.end() :]


def _line(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join(chance.choice((lines[:at] + lines[at + 1 :], [*lines[: at + 1], *lines[at:]], lines[::-1])))


def _json(content: bytes, chance: random.Random) -> bytes:
    return json.dumps(_changed(json.loads(content), chance)).encode()


def _yaml(content: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return _text(content, chance)
    return yaml.safe_dump(_changed(yaml.safe_load(content), chance)).encode()


def _changed(value: Any, chance: random.Random) -> Any:
    """``value`` with something wrong at one place in it, or without that place."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {name: item for name, item in value.items() if name != key}
        if chance.random() < 0.1:
            return {**value, f"{key}_": value[key]}
        return {**value, key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        if chance.random() < 0.15:
            return chance.choice((value[:at] + value[at + 1 :], [*value, value[at]]))
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    return chance.choice(_WRONG)


def _archive(content: bytes, chance: random.Random) -> bytes:
    """A member of a zip archive changed, with the sum that belongs to it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(members))
    if chance.random() < 0.2:
        del members[name]
    else:
        members[name] = _some_of(_BYTES, members[name], chance)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return out.getvalue()


def _png(content: bytes, chance: random.Random) -> bytes:
    """A chunk of a PNG changed, with the sum that belongs to it."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    i = chance.randrange(len(chunks))
    kind, data = chunks[i]
    if kind == b"IDAT" and chance.random() < 0.5:
        data = zlib.compress(_some_of(_BYTES, zlib.decompress(data), chance))
    else:
        data = _some_of(_BYTES, data, chance)
    chunks[i] = (kind, data)
    out = content[:8]
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return out


_STRUCTURED: dict[str, Mutation] = {
    ".json": _json, ".yaml": _yaml, ".txt": _text, ".csv": _text, ".obj": _text, ".mtl": _text, ".npz": _archive,
    ".png": _png, ".pt": _archive,
}  # fmt: skip


def break_one(folder: Path, chance: random.Random) -> Path:
    """Change one of the files below a folder, but for those in ``whole``; which."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != WHOLE]
    path = chance.choice(sorted(files))
    path.write_bytes(mutated(path.read_bytes(), path.suffix.lower(), chance))
    return path
