"""The pipelines as a user starts them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def multi_view(photos: Path, out: Path, *options: str) -> float:
    """Seconds of ``python -m pipelines.multi_view``. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", "pipelines.multi_view", str(photos), "--out", str(out), "--quiet", *options]
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True)
    return time.monotonic() - started
