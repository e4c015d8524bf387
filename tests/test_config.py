"""Options: defaults, YAML over them, errors that name the key and the nearest known one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from lotus_recon.config import leaf_fields, load_config, save_config
from lotus_recon.errors import InputError


@dataclass(frozen=True)
class Inner:
    share: float = 0.2
    mode: Literal["a", "b"] = "a"
    folder: Path | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    name: str = "x"


def test_yaml_overlays_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("inner: {share: 1, folder: some/where}\n")
    config = load_config(Outer, tmp_path / "c.yaml", base=Outer(name="y"))
    assert config == Outer(Inner(1.0, "a", Path("some/where")), "y")


def test_round_trip(tmp_path: Path) -> None:
    config = Outer(Inner(0.5, "b", Path("/x")), "ü")
    save_config(config, tmp_path / "c.yaml")
    assert load_config(Outer, tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: {shar: 1}", r"unknown key 'inner.shar'; did you mean 'share'"),
        ("nme: z", r"unknown key 'nme'; did you mean 'name'"),
        ("share: 1", r"unknown key 'share'; did you mean 'inner.share'"),
        ("inner: {mode: c}", r"inner.mode.*'c'.*\['a', 'b'\]"),
        ("inner: {share: much}", r"inner.share.*'much'"),
        ("inner: 3", r"inner must be a mapping"),
        ("- 1\n- 2", r"must hold a mapping"),
        ("a: [1", r"is not YAML"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(Outer, tmp_path / "c.yaml")
    assert "c.yaml" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        load_config(Outer, tmp_path / "none.yaml")


def test_leaf_fields() -> None:
    assert [name for name, _ in leaf_fields(Outer)] == ["share", "mode", "folder", "name"]
