"""Full disks: told apart from other errors of native libraries by asking the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lotus_recon.durable import full_disk_named


@pytest.mark.parametrize(
    ("blocks", "files", "free_files", "is_full"),
    [(0, 100, 100, True), (10, 100, 0, True), (10, 0, 0, False), (10, 100, 1, False)],
)
def test_native_errors_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, files: int, free_files: int, is_full: bool
) -> None:
    disk = SimpleNamespace(f_bavail=blocks, f_files=files, f_favail=free_files)
    monkeypatch.setattr(os, "statvfs", lambda folder: disk)
    with pytest.raises((OSError, RuntimeError)) as caught, full_disk_named(tmp_path):
        raise RuntimeError("No registered database factory succeeded.")
    if is_full:
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(tmp_path)
    else:
        assert isinstance(caught.value, RuntimeError)
