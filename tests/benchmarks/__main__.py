"""python -m tests.benchmarks: speed and memory beside the named peer, measured in the same run."""

from __future__ import annotations

import sys

from tests.benchmarks.bench_alignment import alignment_lines
from tests.benchmarks.bench_batch import batch_lines, ray_lines
from tests.benchmarks.bench_evaluation import evaluation_lines
from tests.benchmarks.bench_export import export_lines
from tests.benchmarks.bench_fusion import fusion_lines
from tests.benchmarks.bench_integration import integration_lines
from tests.benchmarks.bench_lotus import lotus_lines
from tests.benchmarks.bench_memory import memory_lines
from tests.benchmarks.bench_mvs import mvs_lines
from tests.benchmarks.bench_prediction import prediction_lines
from tests.benchmarks.bench_speed import speed_lines
from tests.benchmarks.bench_texturing import texturing_lines
from tests.benchmarks.bench_training import training_lines
from tests.benchmarks.bench_writing import writing_lines
from tests.conftest import SHARED


def main() -> int:
    """Print the lines of every benchmark whose data is there."""
    print("\n".join(evaluation_lines()))
    print("\n".join(batch_lines()))
    print("\n".join(ray_lines()))
    print("\n".join(writing_lines()))
    print("\n".join(alignment_lines()))
    print("\n".join(prediction_lines()))
    print("\n".join(lotus_lines()))
    print("\n".join(training_lines()))
    print("\n".join(mvs_lines()))
    print("\n".join(memory_lines()))
    print("\n".join(export_lines()))
    print("\n".join(texturing_lines()))
    print("\n".join(speed_lines()))
    if not (SHARED / "data").is_dir():
        print(f"skipped: {SHARED / 'data'} is not there (LOTUS_RECON_SHARED names another place)")
        return 0
    print("\n".join(integration_lines(SHARED)))
    print("\n".join(fusion_lines(SHARED)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
