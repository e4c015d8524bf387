"""From a command line to arguments: tyro reads it, the options say what they take, and each mistake is one line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import inspect
import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from lotus_recon.config import overlaid, parse_yaml
from lotus_recon.errors import InputError
from lotus_recon.options import ADVANCED, Option, OptionError, Options, fields_of, nested
from lotus_recon.renamed import new_value, old_flags, warn_of_old_name
from pipelines.little_memory import check_address_space
from pipelines.option_help import Entry, entries_of, full_help, short_help

Arguments = TypeVar("Arguments", bound=Options)
Config = TypeVar("Config", bound=Any)


def parse_arguments(
    defaults: Arguments, argv: Sequence[str], prog: str, in_yaml: Sequence[type[Any]] = (), common: Sequence[str] = ()
) -> Arguments:
    """``defaults`` with what ``argv`` says. Options of the types ``in_yaml``, and lists of groups, take YAML.

    ``--help`` shows the options named in ``common`` (all where there are none) and ``--help-all`` every one; both end
    the process. Raises InputError with one line for an unknown option, or when there is too little memory to load what
    any command needs, and OptionError for a wrong value.
    """
    if "--help-all" in argv or {"-h", "--help"} & set(argv):
        about = inspect.getdoc(type(defaults)) or ""
        short = common and "--help-all" not in argv
        entries = entries_of(defaults, in_yaml)
        print(short_help(entries, common, prog, about) if short else full_help(entries, prog, about))
        sys.exit(0)
    check_address_space()
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown):
            return tyro.cli(
                type(defaults),
                default=defaults,
                args=list(argv),
                prog=prog,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
                registry=_registry(tuple(in_yaml)),
            )
    except OptionError as error:  # of values that do not fit each other
        flags = {entry.option.name: entry.name for entry in entries_of(defaults, in_yaml)}
        raise OptionError(flags.get(error.shown, error.shown), error.value, error.allowed) from None
    except SystemExit:
        raise InputError(_what_is_wrong(entries_of(defaults, in_yaml), argv, prog)) from None


def take_old_options(config: Config, argv: Sequence[str]) -> tuple[Config, list[str]]:
    """``config`` with the values of options that had another name or moved to YAML, and ``argv`` without these."""
    old = old_flags(type(config))
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag, option in old.items():
        if option.kind is bool:
            parser.add_argument(flag, dest=flag, action="store_true", default=None)
            parser.add_argument(f"--no-{flag[2:]}", dest=flag, action="store_false", default=None)
        else:
            parser.add_argument(flag, dest=flag)
    try:
        given, rest = parser.parse_known_args([_normal(token) for token in argv])
    except argparse.ArgumentError as error:
        flag = str(error.argument_name)
        raise InputError(f"{flag}: needs a value; it must be {old[flag].allowed}") from None
    for flag, text in vars(given).items():
        if text is not None:
            option = old[flag]
            warn_of_old_name(flag, f"{option.key} (in YAML, --config)" if option.is_advanced else option.flag)
            config = overlaid(config, nested([(option.path, option.parsed(text, flag))]), "command line")
    return config, rest


def _normal(token: str) -> str:
    """Hyphens and underscores are the same in the name of an option."""
    if not token.startswith("--"):
        return token
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value


def _registry(in_yaml: tuple[type[Any], ...]) -> tyro.constructors.ConstructorRegistry:
    """How tyro reads options: groups without what stands in YAML only, values as their options take them."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not (isinstance(info.type, type) and issubclass(info.type, Options)) or info.type in in_yaml:
            return None
        kind, default = info.type, info.default
        hints = get_type_hints(kind, include_extras=True)
        fields = tuple(
            StructFieldSpec(name, _read_by_option(option, hints[name], in_yaml), getattr(default, name))
            for name, option in fields_of(kind).items()
            if name != ADVANCED
        )
        return StructConstructorSpec(lambda **values: dataclasses.replace(default, **values), fields)

    return registry


def _read_by_option(option: Option, hint: Any, in_yaml: tuple[type[Any], ...]) -> Any:
    """The type of a field, with a note for tyro on how its text is read; tyro knows texts, paths and switches."""
    in_one_text = option.is_group and (option.is_list or option.kind in in_yaml)
    if not (in_one_text or option.is_number or option.choices):
        return hint

    def value_of(texts: list[str]) -> Any:
        if in_one_text:
            return parse_yaml(hint, texts[0], option.flag)
        return option.parsed(texts if option.is_list else new_value(option, texts[0]), option.flag)

    nargs: Any = "*" if option.is_list and not in_one_text else 1
    spec: PrimitiveConstructorSpec[Any] = PrimitiveConstructorSpec(
        nargs, "X", value_of, is_instance=lambda value: True, str_from_instance=lambda value: [str(value)]
    )
    return Annotated[hint, spec]


def _what_is_wrong(entries: Sequence[Entry], argv: Sequence[str], prog: str) -> str:
    """One line for a command line that tyro does not take."""
    options = {entry.name: entry for entry in entries if not (entry.is_positional or entry.option.is_advanced)}
    switches = {f"--no-{flag[2:]}" for flag, entry in options.items() if entry.option.kind is bool}
    known = [*options, *switches, "--help-all", "--help"]
    names = [_normal(token).partition("=")[0] for token in argv]
    for name in names:
        if name.startswith("-") and name not in known and not name.lstrip("-").replace(".", "").isdigit():
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
            hint = f"did you mean {close[0]}?" if close else f"see {prog} --help-all"
            return f"unknown option {name}; {hint}"
    for name, after in zip(names, [*names, "--"][1:], strict=True):
        if name in options and options[name].option.kind is not bool and after.startswith("--"):
            return f"{name}: needs a value; it must be {options[name].option.allowed}"
    missing = " ".join(entry.left for entry in entries if entry.is_positional or entry.default is tyro.MISSING)
    return f"give {missing or 'options only'}, and each option its value; see {prog} --help"
