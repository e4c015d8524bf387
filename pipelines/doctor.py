"""python -m pipelines.doctor: what a bug report should say, and what is missing here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from packaging.requirements import Requirement

from lotus_recon import __version__, native
from lotus_recon.cache import cache_folder
from lotus_recon.options import Options
from pipelines.command_line import DONE, FAILED, main, program, show_table
from pipelines.parsing import parse_arguments

_PACKAGE = "lotus-recon"


@dataclass(frozen=True)
class Arguments(Options):
    """Say which versions, devices and libraries there are, and how to install what is missing.

    The exit status is 1 where something is missing that every run needs.
    """


@dataclass(frozen=True)
class Dependency:
    """A package that this one asks for, and how it is here."""

    name: str
    extra: str  # empty: needed by all; else the extra that asks for it
    version: str  # empty: not installed
    problem: str  # with what to do; empty: none

    @property
    def row(self) -> tuple[str, str, str, str]:
        """What the table shows of it."""
        return self.name, self.version or "-", self.extra or "always", self.problem or "ok"


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    parse_arguments(Arguments(), argv, program("doctor"))
    found = dependencies()
    versions = [("lotus-recon", __version__), ("Python", platform.python_version())]
    torch_works = not any(each.name == "torch" and each.problem for each in found)
    show_table(("this machine", ""), [*versions, *_machine(), *(_devices() if torch_works else ())])
    show_table(("package", "version", "needed for", "state"), [each.row for each in found])
    missing = [each.name for each in found if each.problem and not each.extra]
    print(f"a run cannot start without {', '.join(missing)}" if missing else "all that a run needs is here")
    return FAILED if missing else DONE


def dependencies() -> list[Dependency]:
    """Every package that users may need, those of extras last; native ones that are installed are imported."""
    asked: dict[str, tuple[Requirement, str]] = {}
    for text in importlib.metadata.requires(_PACKAGE) or []:
        requirement = Requirement(text)
        extra = _extra_of(requirement)
        if extra not in (None, "dev"):
            asked.setdefault(requirement.name, (requirement, extra))
    versions = {name: _version_of(name) for name in asked}
    modules = _modules_of([name for name in asked if versions[name]])
    failures = native.failures([module for each in modules.values() for module in each])
    found = [
        Dependency(name, extra, versions[name], _problem(requirement, extra, versions[name], modules[name], failures))
        for name, (requirement, extra) in asked.items()
    ]
    return sorted(found, key=lambda each: (each.extra != "", each.extra, each.name.lower()))


def _extra_of(requirement: Requirement) -> str | None:
    """The extra that a requirement belongs to, "" for none; None where it is not asked for on this machine."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        return ""
    extras = importlib.metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []
    return next((extra for extra in extras if requirement.marker.evaluate({"extra": extra})), None)


def _version_of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _modules_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Modules of installed packages that the project loads by native code, which may fail at its import."""
    provided = defaultdict(list)
    for module, owners in importlib.metadata.packages_distributions().items():
        for owner in owners:
            provided[owner.lower().replace("_", "-")].append(module)
    tried = {*native.LIBRARIES, "numba", "pycolmap", "torch"}
    found: dict[str, list[str]] = defaultdict(list)
    found.update({name: sorted(tried & {*provided[name.lower().replace("_", "-")]}) for name in names})
    return found


def _problem(
    requirement: Requirement, extra: str, version: str, modules: Sequence[str], failures: dict[str, str]
) -> str:
    if not version:
        wanted = f"{_PACKAGE}[{extra}]" if extra else str(requirement)
        return f"not installed: pip install '{wanted}'"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.specifier} is needed: pip install --upgrade '{requirement.name}{requirement.specifier}'"
    return next((failures[module] for module in modules if module in failures), "")


def _machine() -> list[tuple[str, str]]:
    """System, processor and memory."""
    memory = psutil.virtual_memory()
    return [
        ("system", platform.platform()),
        ("processor", f"{os.cpu_count()} cores, {memory.total / 2**30:.0f} GiB, {memory.available / 2**30:.0f} free"),
        ("cache", str(cache_folder())),
    ]


def _devices() -> list[tuple[str, str]]:
    """What PyTorch can use."""
    import torch

    build = f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}"
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    shown = [(f"cuda:{n}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB") for n, card in enumerate(cards)]
    return [("torch", build), *(shown or [("CUDA", "no device: everything runs on the processor")])]


if __name__ == "__main__":
    main(run)
