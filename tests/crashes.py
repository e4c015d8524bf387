"""A test that ends its process, or hangs, is one failure with its name, and all others still run (with pytest-xdist).

pytest-xdist replaces a worker that died, but gives the same test or file to the next one, until it has no workers
left. So workers write down what they are at, and what the dead ones were at is left out: a test is skipped (xdist has
reported it by then), a file whose import ends the process is an error of its own.

pytest-timeout interrupts a test that hangs, unless it hangs in native code: then its process is ended.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

_FOLDER = pytest.StashKey[Path]()
_CRASHED = "crashed"
_LONGER = 1.1  # than pytest-timeout waits


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the main process: tell a new worker where to write."""
    if _FOLDER not in node.config.stash:
        node.config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="lotus-recon-tests-"))
    node.workerinput["crashes"] = str(node.config.stash[_FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """In the main process: keep what a worker was at when it died, before others are given its work."""
    folder = node.config.stash.get(_FOLDER, None)
    if error and folder is not None and (folder / node.gateway.id).exists():
        with open(folder / _CRASHED, "a") as file:
            file.write((folder / node.gateway.id).read_text() + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """In a worker: start writing."""
    workerinput = getattr(config, "workerinput", {})
    if "crashes" in workerinput:
        limit_s = float(config.getini("timeout") or 0)
        config.pluginmanager.register(_Worker(Path(workerinput["crashes"]), workerinput["workerid"], limit_s))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no files behind."""
    if _FOLDER in config.stash:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


class _Worker:
    """The hooks of one worker."""

    def __init__(self, folder: Path, name: str, limit_s: float) -> None:
        self._folder, self._own, self._limit_s = folder, folder / name, limit_s
        self._stderr = os.dup(2)  # as it is before pytest captures it

    def _crashed(self, what: str) -> bool:
        path = self._folder / _CRASHED
        return path.exists() and json.dumps(what) in path.read_text().splitlines()

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        if not isinstance(collector, pytest.Module):
            return (yield)
        self._own.write_text(json.dumps(str(collector.path)))
        try:
            return (yield)
        finally:
            self._own.write_text("")

    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if self._crashed(str(module_path)):
            return _CrashedFile.from_parent(parent, path=module_path)
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._own.write_text(json.dumps(item.nodeid))
        mark = item.get_closest_marker("timeout")
        limit_s = float(mark.args[0]) if mark and mark.args else self._limit_s
        if limit_s > 0:
            faulthandler.dump_traceback_later(_LONGER * limit_s, exit=True, file=self._stderr)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._own.write_text("")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._crashed(item.nodeid):
            pytest.skip("it ended its process: see its failure")


class _CrashedFile(pytest.File):
    """In place of a file whose import ended the process of a worker."""

    def collect(self) -> Iterator[pytest.Item]:
        raise self.CollectError(f"importing {self.path.name} ended the process")
