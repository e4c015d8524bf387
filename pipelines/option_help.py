"""Help from the dataclasses of the options: a screen of common ones, all of them, or a page of Markdown."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from lotus_recon.options import Option, fields_of

_WIDTH, _COLUMN, _WIDEST = 100, 26, 38
_ARG: Any = type(tyro.conf.arg())


@dataclass(frozen=True)
class Entry:
    """One option as help shows it."""

    option: Option
    default: Any
    text: str  # what it is, as the comment beside the field says
    title: str  # of its group; empty for those of the pipeline itself
    metavar: str
    name: str  # --flag, or the metavar of a positional argument
    is_positional: bool = False
    words: tuple[str, ...] = ()  # that are allowed; none where any is

    @property
    def left(self) -> str:
        """The option as it is written: flag and value, or its place in YAML."""
        if self.is_positional:
            return self.metavar
        if self.option.is_advanced:
            return self.option.key
        if self.option.kind is bool:
            return f"--[no-]{self.name[2:]}" if self.default else self.name
        return f"{self.name} {self.metavar}"

    @property
    def facts(self) -> str:
        """``degrees in (0, 180), default 60``: unit, limits or words, and the default."""
        limits = self.option.limits.as_interval if self.option.limits else ""
        within = f"in {limits}" if limits.startswith(("[", "(")) else limits
        allowed = f"{self.option.unit} {within}".strip()
        if self.words and self.metavar.startswith("WORD"):
            allowed = ", ".join(self.words)
        return "; ".join(part for part in (allowed, f"default {self._default}" if self._default else "") if part)

    @property
    def _default(self) -> str:
        if self.option.kind is bool:
            return "on" if self.default else "off" if self.option.is_advanced else ""
        if self.default is None or self.default is tyro.MISSING or self.default in ((), []):
            return ""
        return " ".join(map(str, self.default)) if isinstance(self.default, list | tuple) else str(self.default)

    @property
    def first_sentence(self) -> str:
        """The text without its details."""
        return self.text.split(". ")[0].rstrip(".") + "."


def entries_of(arguments: Any, in_yaml: Sequence[type[Any]] = ()) -> list[Entry]:
    """What the options of a pipeline are; ``arguments`` holds the defaults.

    Its ``WORDS`` are those that a table allows for an option, by its place in YAML; the option itself takes any text.
    """
    tables: Mapping[str, tuple[str, ...]] = getattr(type(arguments), "WORDS", {})
    return [
        entry if (words := tables.get(entry.option.key)) is None else _with_words(entry, words)
        for entry in _entries(arguments, (), "", tuple(in_yaml))
    ]


def _with_words(entry: Entry, words: tuple[str, ...]) -> Entry:
    return dataclasses.replace(entry, words=words, metavar=_metavar_of_words(entry.option, words))


def _entries(config: Any, above: tuple[str, ...], title: str, in_yaml: tuple[type[Any], ...]) -> Iterator[Entry]:
    kind = type(config)
    hints, texts = get_type_hints(kind, include_extras=True), comments_of(kind)
    for name, option in fields_of(kind).items():
        value = getattr(config, name)
        path = above if not above and name == "options" else (*above, name)
        if option.group is not None and option.group not in in_yaml:
            yield from _entries(value, path, _title(option.group, path), in_yaml)
            continue
        notes = get_args(hints[name])[1:] if get_origin(hints[name]) is Annotated else ()
        given: Any = next((note for note in notes if isinstance(note, _ARG)), tyro.conf.arg())
        option = dataclasses.replace(option, path=path)
        yield Entry(
            option,
            "" if option.is_group else value,
            (given.help or texts.get(name, "")).strip(),
            title,
            given.metavar or _metavar(option),
            f"--{given.name}" if given.name else option.flag,
            tyro.conf.Positional in notes,
            option.choices,
        )


def _title(group: Any, path: tuple[str, ...]) -> str:
    said = inspect.getdoc(group) or ""
    return f"{'.'.join(path)}: {said.splitlines()[0]}" if path else ""


def _metavar(option: Option) -> str:
    if option.is_group:
        return "YAML"
    if option.choices:
        return _metavar_of_words(option, option.choices)
    kinds = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
    return kinds.get(option.kind, "") + (" ..." if option.is_list else "")


def _metavar_of_words(option: Option, words: tuple[str, ...]) -> str:
    shown = f"{{{','.join(words)}}}"
    return shown if len(shown) <= _WIDEST - len(option.flag) else "WORD"


def comments_of(kind: Any) -> dict[str, str]:
    """The text of each field of a dataclass: the comment above it or the string below it, as tyro reads them."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))  # type: ignore[arg-type]  # a class
        except (OSError, TypeError):  # made at run time, from bases that have one
            continue
        texts |= _comments_in(source)
    return texts


def _comments_in(source: str) -> dict[str, str]:
    lines, texts = source.splitlines(), {}
    body = ast.parse(source).body[0].body  # type: ignore[attr-defined]  # a class
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            texts[node.target.id] = " ".join(str(after.value.value).split())
            continue
        above: list[str] = []
        for line in reversed(lines[: node.lineno - 1]):
            if not line.strip().startswith("#"):
                break
            above.insert(0, line.strip().lstrip("# "))
        texts[node.target.id] = " ".join(above)
    return texts


def short_help(entries: Sequence[Entry], common: Sequence[str], prog: str, about: str) -> str:
    """A screen of the common options, in the order of their names in ``common``; all where there are few."""
    by_name = {entry.name[2:]: entry for entry in entries}
    shown = [entry for entry in entries if entry.is_positional] + [by_name[name] for name in common]
    rows = [line for entry in shown for line in _row(entry, entry.first_sentence)]
    hidden = len([entry for entry in entries if not entry.option.is_advanced]) - len(shown)
    advanced = len([entry for entry in entries if entry.option.is_advanced])
    more = f"--help-all shows {hidden} more options" + (
        f", and {advanced} that stand in YAML only." if advanced else "."
    )
    return "\n".join([*_head(entries, prog, about), *rows, "", more])


def full_help(entries: Sequence[Entry], prog: str, about: str) -> str:
    """Every option, by group, with those that stand in YAML only."""
    lines = _head(entries, prog, about)
    title = ""
    for entry in entries:
        if entry.title != title:
            title = entry.title
            lines += ["", *textwrap.wrap(_with_note(entry), _WIDTH)]
        lines += _row(entry, entry.text)
    return "\n".join([*lines, "", "  -h, --help              The common options.", ""])


def _with_note(entry: Entry) -> str:
    return entry.title.replace("Options that few need to turn, in YAML only.", "in YAML only (--config FILE.yaml).")


def _head(entries: Sequence[Entry], prog: str, about: str) -> list[str]:
    positional = "".join(f" {entry.metavar}" for entry in entries if entry.is_positional)
    return [f"usage: {prog}{positional} [OPTIONS]", "", *textwrap.wrap(" ".join(about.split()), _WIDTH), ""]


def _row(entry: Entry, text: str) -> list[str]:
    said = f"{text} [{entry.facts}]" if entry.facts else text
    indent = " " * _COLUMN
    lines = textwrap.wrap(said, _WIDTH - _COLUMN, break_on_hyphens=False) or [""]
    if len(entry.left) + 4 > _COLUMN:
        return [f"  {entry.left}", *(indent + line for line in lines)]
    return [f"  {entry.left}".ljust(_COLUMN) + lines[0], *(indent + line for line in lines[1:])]


def markdown_tables(entries: Sequence[Entry]) -> Iterator[str]:
    """A table of every group of options."""
    title = None
    for entry in entries:
        if entry.title != title:
            title = entry.title
            yield from ["", f"**{title or 'The command itself'}**", "", "| option | what it is | allowed; default |"]
            yield "|---|---|---|"
        yield f"| `{_cell(entry.left)}` | {_cell(entry.text)} | {_cell(entry.facts)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
