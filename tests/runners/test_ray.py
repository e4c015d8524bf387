"""The Ray runner on real clusters of this machine, bound to 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from lotus_recon.errors import InputError
from lotus_recon.recipes.table import MULTI_VIEW
from lotus_recon.runners.config import RunnerConfig
from tests.runners.kills import Disturbance, kill_driver
from tests.runners.scenes import (
    ROOT,
    batch,
    command,
    contents,
    records,
    run_ids,
    write_manifest,
    write_photo,
    write_textured,
    write_views,
)
from tests.sockets import Sockets, outside, sockets_below

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **_NODE})
    made.add_node(num_cpus=1, **_NODE)
    yield made
    made.shutdown()


_NODE: dict[str, Any] = {
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 100_000_000,
    "include_dashboard": False,
}


def ray_options(cluster: Any) -> list[str]:
    return ["--runner", "ray", "--address", cluster.address]


def test_an_address_where_no_ray_is(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [write_photo(tmp_path, "p0")])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    started = time.monotonic()
    result = batch(manifest, tmp_path / "out", "--runner", "ray", "--address", f"127.0.0.1:{port}")
    assert result.returncode == 2
    assert f"--address 127.0.0.1:{port}: nothing answers there" in result.stderr
    assert "Traceback" not in result.stderr
    assert time.monotonic() - started < 20
    wrong = batch(manifest, tmp_path / "out", "--runner", "ray", "--address", "nowhere")
    assert wrong.returncode == 2
    assert "must be auto, local or HOST:PORT" in wrong.stderr


@pytest.mark.slow
def test_a_cluster_of_our_own_listens_and_talks_on_the_loopback_only(tmp_path: Path) -> None:
    """Every socket of the driver and of all that it starts, while a batch runs; no dashboard is among them."""
    manifest = write_manifest(tmp_path, [write_photo(tmp_path, "p0")])
    options = ["--runner", "ray", "--address", "local"]
    driver = subprocess.Popen(command(manifest, tmp_path / "out", *options), cwd=ROOT)
    seen: Sockets = {}
    while driver.poll() is None:
        seen |= sockets_below(psutil.Process(driver.pid))
        time.sleep(0.1)
    assert driver.returncode == 0
    names = {name for name, _ in seen.values()}
    assert {"gcs_server", "raylet"} <= names, "the cluster was not seen at work"
    assert not [name for name in names if "dashboard" in name.lower()]
    assert not outside(seen)


def test_a_ray_of_another_version_is_named_so() -> None:
    from lotus_recon.runners.ray import _reason

    said = "Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.11.2\n"
    assert "runs another version of Ray or Python" in _reason(said)
    assert "2.9.0" in _reason(said)
    assert "no Ray cluster was found" in _reason("Could not find any running Ray instance.")


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_runner(tmp_path: Path, cluster: Any) -> None:
    scenes = [write_views(tmp_path, f"v{i}", 4) for i in range(2)] + [write_photo(tmp_path, f"p{i}") for i in range(3)]
    network = {"name": "nano0", "kind": "single_view", "images": "p0", "options": {"runtime": {"deterministic": True}}}
    manifest = write_manifest(tmp_path, [*scenes, network])
    assert batch(manifest, tmp_path / "local", "--workers", "2").returncode == 0
    result = batch(manifest, tmp_path / "ray", *ray_options(cluster))
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
    ran = run_ids(tmp_path / "ray")
    assert batch(manifest, tmp_path / "ray").returncode == 0, "another runner goes on with it"
    assert run_ids(tmp_path / "ray") == ran


@pytest.mark.slow
def test_every_stage_gives_the_same_files_on_ray(tmp_path: Path) -> None:
    """SCENE depth, predicted normals, stereo and ``--fusion normal``: all stages that stored maps can have."""
    manifest = write_manifest(tmp_path, [write_textured(tmp_path, "all")])
    for name, runner in (("local", ["--workers", "1"]), ("ray", ["--runner", "ray", "--address", "local"])):
        result = batch(manifest, tmp_path / name, *runner)
        assert result.returncode == 0, result.stderr
    stages = {row["stage"] for row in records(tmp_path / "ray")["all"]["stages"]}
    assert stages == {stage.name for stage in MULTI_VIEW} - {"frames", "adaptation", "maps", "export"}
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


@pytest.mark.slow
def test_faults_on_ray_are_those_of_the_local_runner(tmp_path: Path, cluster: Any) -> None:
    small = [write_photo(tmp_path, f"p{i}") for i in range(3)]
    large = write_photo(tmp_path, "large9", (3200, 2400))
    (tmp_path / "p1/maps/photo.npz").write_bytes(b"broken")
    options = ["--memory-limit", "900", *ray_options(cluster)]
    result = batch(write_manifest(tmp_path, [large, *small]), tmp_path / "out", *options)
    assert result.returncode == 1
    found = records(tmp_path / "out")
    assert found["large9"]["fault"] == "memory"
    assert "--memory-limit is 900 MB" in found["large9"]["message"]
    assert found["p1"]["fault"] == "bad input"
    assert (found["p0"]["status"], found["p2"]["status"]) == ("done", "done")


@pytest.mark.slow
def test_nodes_that_do_not_share_the_output_folder_are_named(tmp_path: Path, cluster: Any) -> None:
    """A third node in a mount namespace of its own, where another disk lies over the output folder."""
    out = tmp_path / "out"
    out.mkdir()
    manifest = write_manifest(tmp_path, [write_photo(tmp_path, "p0")])
    # As ray.cluster_utils starts its nodes; 'ray start' would leave 127.0.0.1.
    code = (
        "import time; from ray._private.node import Node; from ray._private.parameter import RayParams\n"
        f"options = dict(gcs_address='{cluster.address}', node_ip_address='127.0.0.1', num_cpus=1)\n"
        "node = Node(RayParams(object_store_memory=100_000_000, **options), head=False, shutdown_at_exit=True)\n"
        "print('started', flush=True); time.sleep(300)"
    )
    script = f"mount -t tmpfs tmpfs '{out}' || exit 77\nexec '{sys.executable}' -c \"$0\""
    unshared = ["unshare", "-rm", "sh", "-c", script, code]
    node = subprocess.Popen(unshared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
    assert node.stdout is not None
    try:
        said: list[str] = []
        while node.poll() is None and not (said and "started" in said[-1]):
            said.append(node.stdout.readline())
        if node.poll() is not None:
            pytest.skip(f"no node with a mount of its own can be started here: {said[-3:]}")
        result = batch(manifest, out, *ray_options(cluster))
        assert result.returncode == 2, result.stderr
        assert "does not share the output folder" in result.stderr
    finally:
        node.terminate()
        node.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_nodes_workers_and_drivers_change_nothing(tmp_path: Path, cluster: Any) -> None:
    manifest = write_manifest(tmp_path, [write_views(tmp_path, f"v{i}", 12) for i in range(8)])
    assert batch(manifest, tmp_path / "undisturbed", "--workers", "2").returncode == 0
    out, chance = tmp_path / "out", random.Random(int(os.environ.get("LOTUS_RECON_KILL_SEED", "0")))
    arguments = command(manifest, out, "--retries", "50", *ray_options(cluster))

    def kill_node(driver: subprocess.Popen[str]) -> bool:
        node = next(node for node in cluster.list_all_nodes() if not node.is_head())
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1, **_NODE)
        return True

    def kill_worker(driver: subprocess.Popen[str]) -> bool:
        victims = _busy_workers(cluster)
        if victims:
            chance.choice(victims).kill()
        return bool(victims)

    disturbance = Disturbance(
        start=lambda: subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True),
        out=out,
        kinds={"node": kill_node, "worker": kill_worker, "driver": kill_driver},
        chance=chance,
        longest_pause=20.0,
        ends_driver=frozenset({"node"}),  # on one machine a driver may have joined the cluster through that node
    )
    disturbance.kill(20)
    assert min(disturbance.killed[kind] for kind in ("node", "worker", "driver")) >= 3, disturbance.killed
    assert batch(manifest, out, *ray_options(cluster)).returncode == 0
    disturbance.check(tmp_path / "undisturbed")


def _busy_workers(cluster: Any) -> list[psutil.Process]:
    """Processes in which actors and tasks run, of all nodes of this cluster."""
    found = []
    for node in cluster.list_all_nodes():
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in raylet.children():
            with contextlib.suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if title.startswith("ray::") and not title.startswith("ray::IDLE"):
                    found.append(process)
    return found


def test_impossible_options_are_refused() -> None:
    from lotus_recon.runners.batch import local_shape
    from lotus_recon.runners.config import BatchConfig

    impossible: list[tuple[str, Any]] = [("workers", 0), ("threads", 0), ("retries", -1), ("timeout", 0.0)]
    for option, value in [*impossible, ("memory_limit", -5)]:
        with pytest.raises(InputError, match=f"{option} "):
            local_shape(BatchConfig(replace(RunnerConfig(), **{option: value})), deterministic=False)
