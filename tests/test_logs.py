"""The log file of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lotus_recon import logs


@pytest.mark.parametrize("broken", ["/dev/full", "folder"])
def test_a_log_that_cannot_be_written_prints_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)  # as in the workers of a batch
    target = tmp_path / "log.txt"
    target.mkdir() if broken == "folder" else target.symlink_to(broken)
    with logs.log_file(tmp_path):
        logging.getLogger("lotus_recon.test").warning("words")
    assert capsys.readouterr().err == ""
