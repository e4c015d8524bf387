"""What all command lines share: options from dataclasses, logging, progress, exit codes. Imports nothing heavy."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import tyro

from lotus_recon import __version__, progress
from lotus_recon.config import load_config, nearest
from lotus_recon.durable import is_disk_full
from lotus_recon.errors import InputError, ReconError
from lotus_recon.interruption import Interrupted
from lotus_recon.logs import handled_by
from lotus_recon.measuring import is_out_of_memory, memory_ended
from lotus_recon.options import Options
from pipelines.little_memory import guarded
from pipelines.parsing import parse_arguments, take_old_options
from pipelines.signals import answered

# Threads that wait must sleep: those of OpenMP spin by default, and beside another busy process the many small steps of
# alignment and consistency then take ten times as long. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

log = logging.getLogger("lotus_recon.command_line")

COMMAND = "lotus-recon"
DONE, FAILED, REFUSED = 0, 1, 2
PRESETS = ("fast", "default", "fine")
# In a checkout configs/ stands beside this package; an installed one has them inside, to keep the name free.
CONFIG_FOLDER = next(
    folder for folder in (Path(__file__).with_name("configs"), Path(__file__).parents[1] / "configs") if folder.is_dir()
)
_PLAIN_PROGRESS_SECONDS = 5.0

Arguments = TypeVar("Arguments", bound="CommonArguments")
Config = TypeVar("Config")
Value = TypeVar("Value")


@dataclass(frozen=True)
class CommonArguments(Options):
    """Options that every pipeline has."""

    COMMON: ClassVar[tuple[str, ...]] = ()  # the options that --help shows, without the hyphens; none: all

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("out")
    """Output folder; an interrupted run resumes in it."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    """YAML laid over the defaults, those of the preset too; options on the command line win over both."""
    quiet: bool = False
    """Show warnings and errors only."""
    verbose: bool = False
    """Show what every step does."""


@dataclass(frozen=True)
class PhotoArguments(CommonArguments):
    """Options of the pipelines that reconstruct from photos."""

    preset: Annotated[str, tyro.conf.arg(metavar="{fast,default,fine}")] = "default"
    """Speed against detail: configs/<pipeline>/<preset>.yaml."""
    force: bool = False
    """Use an output folder of other photos; what differs is computed again."""


def parse(
    arguments: Callable[[Any], Arguments],
    base: Any,
    pipeline: str,
    argv: Sequence[str],
    in_yaml: Sequence[type[Any]] = (),
    recipes: str | None = None,
) -> Arguments:
    """Arguments of a pipeline from ``argv``: the config ``base``, then ``--config``, then the command line.

    ``arguments`` builds the defaults around an instance of the config. Configs of the types ``in_yaml``, and lists of
    configs, are one option each, which takes YAML. ``recipes`` is the folder in configs/ that a bare name is looked up
    in; None is that of the pipeline. Raises InputError for a config file or a command line that cannot be used.
    """
    file = _early_option("--config", argv, Path)
    config = load_config(type(base), file and _config_file(file, recipes or pipeline), base=base)
    config, rest = take_old_options(config, argv)
    defaults = arguments(config)
    return parse_arguments(defaults, rest, program(pipeline), in_yaml, type(defaults).COMMON)


def program(pipeline: str) -> str:
    """How the user started a pipeline, as its help names it: as a command of lotus-recon, or as a module."""
    module, _, task = pipeline.partition(" ")
    started = sys.argv[0] if sys.argv[0].startswith(f"{COMMAND} ") else f"python -m pipelines.{module}"
    return f"{started} {task}".strip()


def _config_file(file: Path, pipeline: str) -> Path:
    """``file``, or what a bare NAME stands for: configs/<pipeline>/NAME.yaml."""
    if len(file.parts) != 1 or file.suffix or file.exists():
        return file
    recipes = {path.stem: path for path in (CONFIG_FOLDER / pipeline).glob("*.yaml")}
    if file.name not in recipes:
        raise InputError(f"--config {file}: there is no such file, and no recipe{nearest(file.name, [*recipes])}")
    return recipes[file.name]


def preset(config_type: type[Config], pipeline: str, argv: Sequence[str]) -> Config:
    """The config that ``--preset`` names, to be the base of ``parse``. Raises InputError when there is no such one."""
    name = _early_option("--preset", argv, str) or "default"
    if name not in PRESETS:
        raise InputError(f"--preset {name}: allowed are {', '.join(PRESETS)}")
    return load_config(config_type, CONFIG_FOLDER / pipeline / f"{name}.yaml")


def _early_option(name: str, argv: Sequence[str], kind: Callable[[str], Value]) -> Value | None:
    """The value of an option that is read before the options whose defaults it changes."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument(name, dest="value", type=kind)
    value: Value | None = early.parse_known_args(argv)[0].value
    return value


def main(run: Callable[[Sequence[str]], int]) -> None:
    """Run a pipeline's command line and exit: 0 done, 2 refused before any work, 1 failed during work.

    Ended by a signal, 128 and its number: 130 for Ctrl-C.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.raiseExceptions = False  # a full disk must not bury its own message under tracebacks of the log file
    try:
        with answered(), guarded():
            status = _version() if sys.argv[1:] == ["--version"] else run(sys.argv[1:])
    except BrokenPipeError:  # --help | head
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  so that flushing at exit does not fail again
        status = DONE
    except ReconError as error:
        _say_error(error)
        status = REFUSED
    except (OSError, MemoryError, RuntimeError, ImportError) as error:  # before the work: of libraries, and the output
        if not _is_told(error):
            raise
        status = FAILED
    except KeyboardInterrupt as error:  # ours, but for one that comes before or after the block above
        _say_error(error if isinstance(error, Interrupted) else "interrupted")
        status = 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
    sys.exit(status)


def _version() -> int:
    print(f"{COMMAND} {__version__}")
    return DONE


def status_of(work: Callable[[], int]) -> int:
    """Do the work of a run: its status, or 1 with a message for an error that is meant for the user."""
    try:
        return work()
    except Exception as error:
        if not _is_told(error):
            raise
        return FAILED


def _is_told(error: Exception) -> bool:
    """Say what ended a run, where that is no mistake of this program: in one line, no traceback."""
    if isinstance(error, ReconError):
        _say_error(error)
    elif is_out_of_memory(error):
        _say_error(memory_ended(error))
    elif isinstance(error, OSError):
        reason = os.strerror(errno.ENOSPC) if is_disk_full(error) else error.strerror or error
        _say_error(f"{error.filename or 'output'} could not be read or written: {reason}")
    else:
        return False
    return True


def open_browser(url: str) -> None:
    """Open a page, where there is a browser."""
    import webbrowser

    if not webbrowser.open(url):
        log.info("no browser was found; open %s", url)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], hidden: bool = False) -> None:
    """Print a table on the screen."""
    if hidden:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _say_error(message: object) -> None:
    log.error("error: %s", message)


@contextlib.contextmanager
def on_screen(quiet: bool, verbose: bool, bars: bool = True) -> Iterator[Any]:
    """Show progress and log lines on the terminal: warnings only if ``quiet``, everything if ``verbose``.

    Gives the console, for those that draw their own ``bars``.
    """
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(stderr=True)
    screen: logging.Handler
    if console.is_terminal:
        screen = RichHandler(console=console, show_time=False, show_path=False, show_level=False, markup=False)
    else:
        screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    with handled_by(screen), _showing_progress(console, quiet or not bars):
        yield console


@contextlib.contextmanager
def _showing_progress(console: Any, quiet: bool) -> Iterator[None]:
    """Bars on a terminal, a plain line every few seconds elsewhere, nothing if ``quiet``."""
    if quiet:
        yield
        return
    if console.is_terminal:
        with _bars(console) as reporter:
            progress.set_reporter(reporter)
            try:
                yield
            finally:
                progress.set_reporter(None)
        return
    progress.set_reporter(_plain_reporter())
    try:
        yield
    finally:
        progress.set_reporter(None)


@contextlib.contextmanager
def _bars(console: Any) -> Iterator[progress.Reporter]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)
            if done >= total:
                bars.remove_task(tasks.pop(what))
                bars.refresh()  # else what is printed next still stands above the finished bar

        yield show


def _plain_reporter() -> progress.Reporter:
    last = time.monotonic()
    shown: set[str] = set()  # what has a line that says it is not done yet

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PLAIN_PROGRESS_SECONDS or (done >= total and what in shown):
            last = now
            if done < total:
                shown.add(what)
            else:
                shown.discard(what)
            log.info("%s: %d of %d", what, done, total)

    return show
