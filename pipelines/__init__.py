"""Command lines: python -m pipelines.NAME."""

import os

# Stages work on several views or photos at once, each of which would start as many threads in OpenBLAS, which wait for
# each other in loops: on two idle cores runs took half as long again, beside other programs several times as long.
# It is read when numpy is loaded. OMP_NUM_THREADS stays as it is: the network uses all cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
