"""python -m tests.fuzz [READER ...] --inputs N --seed S: broken files for every reader, and what became of them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.running import Tally, fuzz


def main() -> int:
    """Exit status: 0 when every input was read or refused in words."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of: {', '.join(READERS)} (default: all)")
    parser.add_argument("--inputs", type=int, default=1000, help="for each reader (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that meet a fault")
    arguments = parser.parse_args()
    if unknown := set(arguments.readers) - set(READERS):
        parser.error(f"unknown reader {unknown.pop()!r}; allowed: {', '.join(READERS)}")
    print("| reader | inputs | read | refused | traceback | crash | hang | memory | wrong | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    tallies = []
    for name in arguments.readers or READERS:
        started = time.monotonic()
        tallies.append(fuzz(name, arguments.inputs, arguments.seed, arguments.keep))
        print(_row(tallies[-1], time.monotonic() - started), flush=True)
    for tally in tallies:
        for detail in tally.details[:5]:
            print(f"\n{tally.reader}: {detail}")
    return 1 if any(tally.faults for tally in tallies) else 0


def _row(tally: Tally, seconds: float) -> str:
    kinds = ("read", "refused", "traceback", "crash", "hang", "memory", "wrong")
    cells = [tally.reader, tally.counts.total(), *(tally.counts[kind] for kind in kinds), f"{seconds:.0f}"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
