"""Faults of real processes: what is killed, hangs, takes too much or is broken touches nothing else."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.runners.kills import Disturbance, kill_driver
from tests.runners.scenes import (
    ROOT,
    batch,
    command,
    contents,
    events,
    records,
    run_ids,
    write_manifest,
    write_photo,
    write_views,
)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return found


def workers(driver: psutil.Process) -> list[psutil.Process]:
    try:
        return [c for c in driver.children() if "spawn_main" in " ".join(c.cmdline())]
    except psutil.Error:
        return []


def has_workers_or_ended(driver: subprocess.Popen[str]) -> bool:
    return driver.poll() is not None or bool(workers(psutil.Process(driver.pid)))


def started(out: Path, scene: str) -> bool:
    path = out / "events.jsonl"
    return path.exists() and any(e["event"] == "scene_started" and e["scene"] == scene for e in events(out))


@pytest.fixture
def start() -> Any:
    """Start batches that end with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_poisoned_scene_among_eight_touches_no_other(tmp_path: Path) -> None:
    scenes = [write_photo(tmp_path, f"p{i}") for i in range(8)]
    photo = tmp_path / "p3/photo.png"
    photo.write_bytes(photo.read_bytes()[:300])  # its header is whole, its pixels are not
    manifest = write_manifest(tmp_path, scenes)
    result = batch(manifest, tmp_path / "out", "--workers", "2")
    assert result.returncode == 1
    found = records(tmp_path / "out")
    assert {name: record["status"] for name, record in found.items()} == {
        f"p{i}": "failed" if i == 3 else "done" for i in range(8)
    }
    assert found["p3"]["fault"] == "bad input"
    assert "photo.png" in found["p3"]["message"]
    assert found["p3"]["attempts"] == 1, "bad input is not tried again"
    before = run_ids(tmp_path / "out")
    shutil.rmtree(tmp_path / "p3")
    write_photo(tmp_path, "p3")
    assert batch(manifest, tmp_path / "out", "--failed").returncode == 0
    after = run_ids(tmp_path / "out")
    assert records(tmp_path / "out")["p3"]["status"] == "done"
    assert before.items() < after.items(), "only the repaired scene ran"


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_scene_tried_again(tmp_path: Path, start: Any) -> None:
    manifest = write_manifest(tmp_path, [write_views(tmp_path, "v0", 6), write_photo(tmp_path, "p1")])
    out = tmp_path / "out"
    driver = start(manifest, out, "--workers", "1")
    wait_for(lambda: started(out, "v0"))
    workers(psutil.Process(driver.pid))[0].kill()
    assert driver.wait(60) == 0
    assert [event["fault"] for event in events(out) if event["event"] == "retry"] == ["crash"]
    assert records(out)["v0"]["attempts"] == 2
    assert records(out)["p1"]["attempts"] == 1


@pytest.mark.slow
def test_a_scene_that_hangs_ends_at_its_time_limit(tmp_path: Path, start: Any) -> None:
    manifest = write_manifest(tmp_path, [write_views(tmp_path, "v0", 6), write_photo(tmp_path, "p1")])
    out = tmp_path / "out"
    driver = start(manifest, out, "--workers", "1", "--timeout", "8")
    wait_for(lambda: started(out, "v0"))
    workers(psutil.Process(driver.pid))[0].suspend()
    assert driver.wait(60) == 1
    assert records(out)["v0"]["fault"] == "time-out"
    assert "--timeout 8" in records(out)["v0"]["message"]
    assert records(out)["p1"]["status"] == "done"


@pytest.mark.slow
def test_a_scene_over_its_memory_limit_is_ended(tmp_path: Path) -> None:
    small = [write_photo(tmp_path, f"p{i}") for i in range(3)]
    large = write_photo(tmp_path, "large9", (3200, 2400))  # 15 million triangles
    manifest = write_manifest(tmp_path, [small[0], large, *small[1:]])
    result = batch(manifest, tmp_path / "out", "--workers", "1", "--memory-limit", "900")
    found = records(tmp_path / "out")
    assert result.returncode == 1
    assert found["large9"]["fault"] == "memory"
    assert "--memory-limit is 900 MB" in found["large9"]["message"]
    assert all(found[f"p{i}"]["status"] == "done" for i in range(3))


@pytest.mark.slow
def test_a_full_disk_stops_the_batch_which_goes_on_when_there_is_room(tmp_path: Path) -> None:
    out, room, kept = tmp_path / "out", "2600k", tmp_path / "kept"
    out.mkdir()
    manifest = write_manifest(tmp_path, [write_views(tmp_path, f"v{i}", 3) for i in range(4)])
    run = " ".join(f"'{word}'" for word in command(manifest, out, "--workers", "1"))
    script = (
        f"mount -t tmpfs -o size={room} tmpfs '{out}' || exit 77\n"
        f"{run}; first=$?\nmount -o remount,size=100m '{out}'\n{run}; second=$?\n"
        f"cp -r '{out}' '{kept}'\nexit $((10 * first + second))"
    )
    result = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True)
    if result.returncode in (1, 77):
        pytest.skip(f"no small disk can be mounted here: {result.stderr.strip()}")
    assert result.returncode == 10, result.stderr
    assert "is full" in result.stderr
    assert "were not started: the same command goes on" in result.stderr
    assert batch(manifest, tmp_path / "undisturbed").returncode == 0
    assert contents(kept) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_interrupt_ends_cleanly_and_the_same_command_goes_on(tmp_path: Path, start: Any) -> None:
    manifest = write_manifest(tmp_path, [write_views(tmp_path, f"v{i}", 6) for i in range(3)])
    out = tmp_path / "out"
    driver = start(manifest, out, "--workers", "1")
    wait_for(lambda: started(out, "v1"))
    children = workers(psutil.Process(driver.pid))
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "Traceback" not in errors
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert not list(out.glob("*/.lease"))
    assert (out / "batch_report.html").exists()
    before = run_ids(out)
    assert batch(manifest, out).returncode == 0
    assert before.items() <= run_ids(out).items()


def test_two_batches_keep_off_each_others_scenes(tmp_path: Path, start: Any) -> None:
    manifest = write_manifest(tmp_path, [write_views(tmp_path, "v0", 6)])
    out = tmp_path / "out"
    first = start(manifest, out, "--workers", "1")
    wait_for(lambda: started(out, "v0"))
    workers(psutil.Process(first.pid))[0].suspend()
    second = batch(manifest, out)
    assert second.returncode == 1
    assert f"process {first.pid}" in second.stderr
    workers(psutil.Process(first.pid))[0].resume()
    assert first.wait(60) == 0
    assert records(out)["v0"]["status"] == "done"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_change_nothing(tmp_path: Path, start: Any) -> None:
    manifest = write_manifest(tmp_path, [write_views(tmp_path, f"v{i}", 16) for i in range(8)])
    assert batch(manifest, tmp_path / "undisturbed", "--workers", "2").returncode == 0
    out, chance = tmp_path / "out", random.Random(int(os.environ.get("LOTUS_RECON_KILL_SEED", "0")))

    def kill_worker(driver: subprocess.Popen[str]) -> bool:
        wait_for(partial(has_workers_or_ended, driver))
        victims = workers(psutil.Process(driver.pid)) if driver.poll() is None else []
        if victims:
            chance.choice(victims).kill()
        return bool(victims)

    disturbance = Disturbance(
        start=lambda: start(manifest, out, "--workers", "2", "--retries", "50"),
        out=out,
        kinds={"worker": kill_worker, "driver": kill_driver},
        chance=chance,
        longest_pause=4.0,
    )
    disturbance.kill(20)
    assert min(disturbance.killed[kind] for kind in ("worker", "driver")) >= 3
    assert batch(manifest, out, "--workers", "2").returncode == 0
    disturbance.check(tmp_path / "undisturbed")
