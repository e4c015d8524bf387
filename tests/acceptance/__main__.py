"""python -m tests.acceptance [RUN ...]: run the pipelines on ../shared/data and print what they reach."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.command import ROOT
from tests.acceptance.rows import Row, print_rows
from tests.acceptance.runs import RUNS, WITHOUT_DATA, rows_of
from tests.conftest import SHARED


def main() -> int:
    """Exit status: 0 when everything asked was reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"one or more of {', '.join(RUNS)} (default: all)")
    names: list[str] = parser.parse_args().runs or list(RUNS)
    if unknown := set(names) - set(RUNS):
        parser.error(f"unknown run {unknown.pop()!r}; allowed: {', '.join(RUNS)}")
    if not (SHARED / "data").is_dir() and not set(names) <= set(WITHOUT_DATA):
        print(f"skipped: {SHARED / 'data'} is not there (LOTUS_RECON_SHARED names another place)")
        return 0
    work = Path(os.environ.get("LOTUS_RECON_WORK", ROOT / "work")) / "acceptance"
    rows: list[Row] = []
    for name in names:
        try:
            rows += rows_of(name, SHARED, work)
        except subprocess.CalledProcessError as error:
            rows.append(Row(name, "the pipeline", f"exit status {error.returncode}", "0", False, command=_text(error)))
    print_rows(rows)
    return 0 if all(row.ok is not False for row in rows) else 1


def _text(error: subprocess.CalledProcessError) -> str:
    return error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))


if __name__ == "__main__":
    sys.exit(main())
