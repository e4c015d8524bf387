"""Photos a minute of single_view, start to end, while a network waits for its device, beside one step after the other.

The network is nano, and each photo takes ``DEVICE_SECONDS`` more, in which the CPU has nothing to do: what another
device does meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEVICE_SECONDS = 0.5
_PHOTOS = Path(__file__).resolve().parents[2] / "data/sample/images"
_RUN = """
import sys, tempfile, time
from pathlib import Path
from unittest import mock
from lotus_recon import threads
from lotus_recon.models.nano.model import NanoModel
from lotus_recon.recipes import single_view
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.workspace import Workspace
photos, wait, at_once = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "at_once"
threads.set_thread_limit(2)
predict = NanoModel.predict_batch
def slow(self, images, *rest):
    time.sleep(wait * len(images))
    return predict(self, images, *rest)
def plainly(work, items, threads=None):
    return map(work, items)
with tempfile.TemporaryDirectory() as folder, mock.patch.object(NanoModel, "predict_batch", slow):
    config = SingleViewConfig()
    first = single_view.check_job([str(next(Path(photos).glob("*.jpg")))], config, Path(folder) / "first")
    single_view.run_job(first, Workspace(Path(folder) / "first"))
    job = single_view.check_job([photos], config, Path(folder) / "out")
    patched = mock.patch.object(single_view, "in_threads", single_view.in_threads if at_once else plainly)
    with patched:
        started, cpu = time.perf_counter(), time.process_time()
        outcomes = single_view.run_job(job, Workspace(Path(folder) / "out"))
    assert all(outcome.status == "done" for outcome in outcomes)
    print(len(outcomes), time.perf_counter() - started, time.process_time() - cpu)
"""


def prediction_lines() -> list[str]:
    """The table that ``bench`` prints, on two threads."""
    lines = [f"single_view, each photo of 640x480, nano and {DEVICE_SECONDS:g} s of another device, 2 threads"]
    seconds = {}
    for how in ("one by one", "at_once"):
        command = [sys.executable, "-c", _RUN, str(_PHOTOS), str(DEVICE_SECONDS), how]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        photos, wall, cpu = (float(word) for word in answer.split()[-3:])
        seconds[how] = wall / photos
        lines.append(f"  {how.replace('_', ' '):12s} wall {wall / photos:.2f} s, CPU {cpu / photos:.2f} s")
    lines.append(f"  ratio of the wall times {seconds['at_once'] / seconds['one by one']:.2f}")
    return lines


if __name__ == "__main__":
    print("\n".join(prediction_lines()))
