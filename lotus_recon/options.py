"""Options: dataclasses whose fields say what a value must be, and the one sentence that refuses a wrong value.

A number states its limits and its unit beside its type, in the terms of ``annotated_types``::

    fov_deg: Annotated[float | None, Gt(0), Lt(180), Unit("degrees")] = None

NaN and infinity are refused without saying so. The command line, YAML and help read the same statement, and a group
of options cannot be built with another value from Python either.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import GroupedMetadata, MaxLen, MinLen, Unit

from lotus_recon.errors import InputError
from lotus_recon.limits import Limits

ADVANCED = "advanced"  # the nested group of what stands in YAML only


class OptionError(InputError):
    """A value that its option does not take: which one, the value, what is allowed."""

    def __init__(self, shown: str, value: Any, allowed: str) -> None:
        super().__init__(f"{shown} {text_of(value)}: must be {allowed}")
        self.shown, self.value, self.allowed = shown, value, allowed


class Options:
    """Base of the dataclasses that hold options. Building one raises OptionError for a value that is not allowed."""

    def __post_init__(self) -> None:
        for option in fields_of(type(self)).values():
            if option.is_number or option.choices or option.kind is bool:  # a path or a text can be anything
                option.check(getattr(self, option.name))

    def refuse(self, name: str, allowed: str) -> None:
        """Raise OptionError for a value that does not fit the others of its group; ``allowed``: what would."""
        raise OptionError(name, getattr(self, name), allowed)


@dataclass(frozen=True)
class Option:
    """What a field says of its values."""

    name: str
    kind: Any  # bool, int, float, str, Path, a Literal or a group of options; of the items where ``is_list``
    is_list: bool = False
    optional: bool = False  # none is a value
    limits: Limits | None = None  # of a number, or of each number of a list; None: not stated
    unit: str = ""
    count: tuple[int, int | None] = (0, None)  # items of a list: at least, at most
    path: tuple[str, ...] = ()  # names of the groups that it lies in, and its own

    @property
    def flag(self) -> str:
        """As on the command line: ``--fov-deg``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def key(self) -> str:
        """As in YAML: ``sfm.fov_deg``."""
        return ".".join(self.path)

    @property
    def is_advanced(self) -> bool:
        """Whether it stands in YAML only."""
        return ADVANCED in self.path

    @property
    def is_number(self) -> bool:
        """Whether it is a number or a list of numbers."""
        return self.kind in (int, float)

    @property
    def is_group(self) -> bool:
        """Whether it is a group of options, or a list of such groups."""
        return dataclasses.is_dataclass(self.kind)

    @property
    def group(self) -> Any:
        """The dataclass of the group that it is; None for any other option, a list of groups too."""
        return self.kind if self.is_group and not self.is_list else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are allowed; none where any is."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def allowed(self) -> str:
        """What a value must be; follows "must be"."""
        what = self._items if self.is_list else self._item
        return f"{what}, or none" if self.optional else what

    @property
    def _item(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if not self.is_number:
            return {bool: "true or false", str: "text", Path: "a path"}.get(self.kind, "a mapping of options")
        number = "a whole number" if self.kind is int else "a number"
        unit = f" in {self.unit}" if self.unit else ""
        within = f", {self.limits.in_words}" if self.limits and self.limits.in_words else ""
        return f"{number}{unit}{within}"

    @property
    def _items(self) -> str:
        least, most = self.count
        many = f"list of {least}" if least == most else "list" if least == 0 else f"list of at least {least}"
        return f"a {many}, each {self._item}"

    def parsed(self, value: Any, shown: str = "") -> Any:
        """The value that a text of the command line, or a value of YAML, stands for.

        Raises OptionError, which calls the option ``shown``, for one that is not allowed.
        """
        try:
            return self._parsed(value)
        except (ValueError, TypeError, OverflowError):
            raise OptionError(shown or self.name, value, self.allowed) from None

    def check(self, value: Any) -> None:
        """Raise OptionError unless ``value`` is allowed and of the right type."""
        items = value if isinstance(value, list | tuple) else [value]
        if self.is_number and any(isinstance(item, str) for item in items):
            raise OptionError(self.name, value, self.allowed)
        self.parsed(value)

    def _parsed(self, value: Any) -> Any:
        if self.optional and (value is None or (isinstance(value, str) and value.lower() in ("none", "null"))):
            return None
        if not self.is_list:
            return self._parsed_item(value)
        if not isinstance(value, list | tuple):
            raise TypeError
        least, most = self.count
        if len(value) < least or (most is not None and len(value) > most):
            raise ValueError
        return [self._parsed_item(item) for item in value]

    def _parsed_item(self, value: Any) -> Any:
        if self.is_number:
            return _number(value, self.kind, self.limits or Limits())
        if self.choices:
            return _choice(value, self.choices)
        if self.kind is bool:
            return _choice(value, {True: True, False: False, "true": True, "false": False})
        if self.kind is Path and isinstance(value, str | Path):
            return Path(value)
        if self.kind is str and type(value) in (str, int, float):
            return str(value)  # YAML reads a label such as 2024 as a number
        raise TypeError


def _number(value: Any, kind: type, limits: Limits) -> float:
    whole = kind is int
    allowed = (str, numbers.Integral if whole else numbers.Real)
    if type(value) is bool or not isinstance(value, allowed):
        raise TypeError
    number: float = kind(value)  # of a text too: YAML takes 1e-3, without a point, for one
    if not limits.hold(number):
        raise ValueError
    return number


def _choice(value: Any, choices: Any) -> Any:
    """The one of ``choices`` that ``value`` is, or names where they are a mapping."""
    if isinstance(value, bool) and "on" in choices:  # YAML takes on and off for true and false
        value = "on" if value else "off"
    if value not in choices:
        raise ValueError
    return choices[value] if isinstance(choices, dict) else value


def text_of(value: Any) -> str:
    """A value of an option as a message shows it."""
    if isinstance(value, list | tuple):
        return " ".join(text_of(item) for item in value) or "(empty)"
    return "none" if value is None else str(value)


def fields_of(config_type: Any) -> dict[str, Option]:
    """The fields of a dataclass by name; ``kind`` is the dataclass where one is a group of options."""
    return _fields_of(config_type)


@functools.cache
def _fields_of(config_type: Any) -> dict[str, Option]:
    hints = get_type_hints(config_type, include_extras=True)
    return {field.name: described(field.name, hints[field.name]) for field in dataclasses.fields(config_type)}


def leaf_options(config_type: Any, above: tuple[str, ...] = ()) -> Iterator[Option]:
    """Every option of a config with its path, nested groups opened; a list of groups is one option."""
    for name, option in fields_of(config_type).items():
        if option.group is not None:
            yield from leaf_options(option.group, (*above, name))
        else:
            yield dataclasses.replace(option, path=(*above, name))


def leaves_of(overlay: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of everything in a mapping of options, nested mappings opened."""
    for key, value in overlay.items():
        if isinstance(value, Mapping) and value:
            yield from leaves_of(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value


def nested(leaves: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """The mapping of options with these ``leaves``."""
    result: dict[str, Any] = {}
    for (*groups, name), value in leaves:
        place = result
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return result


def described(name: str, hint: Any) -> Option:
    """The option ``name`` of a type with its annotations."""
    kind, notes = _opened(hint)
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    optional = type(None) in parts
    kind, more = _opened(next(part for part in parts if part is not type(None)))
    notes += more
    least = max((note.min_length for note in notes if isinstance(note, MinLen)), default=0)
    most = min((note.max_length for note in notes if isinstance(note, MaxLen)), default=None)
    is_list = get_origin(kind) in (list, tuple)
    if is_list:
        kind, more = _opened(get_args(kind)[0])
        notes += more
    unit = next((note.unit for note in notes if isinstance(note, Unit)), "")
    return Option(name, kind, is_list, optional, Limits.of(notes), unit, (least, most))


def _opened(hint: Any) -> tuple[Any, list[Any]]:
    """A type without its annotations, and these."""
    if get_origin(hint) is not Annotated:
        return hint, []
    kind, *notes = get_args(hint)
    return kind, [*notes, *(part for note in notes if isinstance(note, GroupedMetadata) for part in note)]
