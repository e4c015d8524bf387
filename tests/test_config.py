"""Options: defaults, YAML over them, errors that name the key and the nearest known one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge

from lotus_recon.config import load_config, parse_yaml, save_config
from lotus_recon.errors import InputError
from lotus_recon.options import Options, leaf_options


@dataclass(frozen=True)
class Inner(Options):
    share: Annotated[float, Ge(0)] = 0.2
    mode: Literal["a", "b"] = "a"
    folder: Path | None = None


@dataclass(frozen=True)
class Outer(Options):
    inner: Inner = field(default_factory=Inner)
    name: str = "x"
    several: list[Inner] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def test_yaml_overlays_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("inner: {share: 1, folder: some/where}\n")
    config = load_config(Outer, tmp_path / "c.yaml", base=Outer(name="y"))
    assert config == Outer(Inner(1.0, "a", Path("some/where")), "y")


def test_round_trip(tmp_path: Path) -> None:
    config = Outer(Inner(0.5, "b", Path("/x")), "ü", [Inner(), Inner(0.1, folder=Path("y"))])
    save_config(config, tmp_path / "c.yaml")
    assert load_config(Outer, tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: {shar: 1}", r"unknown key 'inner.shar'; did you mean 'share'"),
        ("nme: z", r"unknown key 'nme'; did you mean 'name'"),
        ("share: 1", r"unknown key 'share'; did you mean 'inner.share'"),
        ("inner: {mode: c}", r"inner\.mode c: must be one of a, b"),
        ("inner: {share: much}", r"inner\.share much: must be a number, 0 or more"),
        ("inner: 3", r"inner must be a mapping"),
        ("several: [{share: 1}, {shar: 1}]", r"unknown key 'several\[1\].shar'; did you mean 'share'"),
        ("several: [{share: 1}, {share: much}]", r"several\[1\]\.share much: must be a number"),
        ("several: [a]", r"several\[0\] must be a mapping"),
        ("several: {share: 1}", r"several must be a list of mappings"),
        ("words: a", r"words a: must be a list, each text"),
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


def test_leaf_options() -> None:
    keys = [option.key for option in leaf_options(Outer)]
    assert keys == ["inner.share", "inner.mode", "inner.folder", "name", "several", "words"]


def test_a_list_of_configs_replaces_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("several: [{share: 1}, {mode: b}]\n")
    config = load_config(Outer, tmp_path / "c.yaml", base=Outer(several=[Inner(0.7)]))
    assert config.several == [Inner(1.0), Inner(mode="b")]


def test_parse_yaml() -> None:
    assert parse_yaml(Inner, "{share: 1}", "--x") == Inner(1.0)
    assert parse_yaml(list[Inner], "[{share: 1}, {mode: b}]", "--x") == [Inner(1.0), Inner(mode="b")]
    assert parse_yaml(list[Inner], "[]", "--x") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("[{shar: 1}]", r"--x: unknown key '\[0\]\.shar'"), ("[", "is not YAML"), ("3", "must be a list")],
)
def test_parse_yaml_of_something_else(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_yaml(list[Inner], text, "--x")
