"""The maps of a scene in one folder: what is written is read back, what is wrong is named, few are in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.maps import save_arrays, save_maps
from lotus_recon.io.scene_maps import ANY_DEPTH, POSED_DEPTH, SCENE_DEPTH, SceneMaps, ViewMaps, read_ahead
from lotus_recon.threads import background
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, View

CAMERA = Camera(8, 6, 7.0, 7.0, 4.0, 3.0)
VIEWS = tuple(View(f"a/{i}.jpg", CAMERA, np.eye(4)) for i in range(6))
VALID = np.arange(48).reshape(6, 8) % 5 > 0


def depth(value: float = 2.0, kind: DepthKind = DepthKind.SCENE) -> DepthMap:
    return DepthMap(np.where(VALID, value, np.nan), VALID, kind)


def normals() -> NormalMap:
    return NormalMap(np.tile(np.array([0, 0, -1], np.float32), (6, 8, 1)), VALID)


@pytest.mark.parametrize("compressed", [True, False])
def test_round_trip(tmp_path: Path, compressed: bool) -> None:
    maps = SceneMaps(tmp_path, compressed=compressed)
    confidence = np.linspace(0, 1, 48).reshape(6, 8)
    assert not maps.has(VIEWS[0])
    maps.save(VIEWS[0], depth(), confidence, normals(), {"note": "x"})
    assert maps.has(VIEWS[0])
    assert maps.path(VIEWS[0]) == tmp_path / "a/0.npz"
    read = maps.load(VIEWS[0])
    assert read.depth is not None
    assert read.depth.kind is DepthKind.SCENE
    np.testing.assert_array_equal(read.depth.valid, VALID)
    np.testing.assert_array_equal(read.depth_or_zero, np.where(VALID, 2.0, 0.0))
    np.testing.assert_array_equal(read.weight, confidence.astype(np.float32))
    assert read.normals is not None
    np.testing.assert_array_equal(read.normals.valid, VALID)
    assert read.meta["note"] == "x"


def test_what_a_file_lacks(tmp_path: Path) -> None:
    maps = SceneMaps(tmp_path)
    maps.save(VIEWS[0], depth())
    maps.save(VIEWS[1], normals=normals())
    assert (maps.load(VIEWS[0]).weight == 1).all()
    assert maps.normals(VIEWS[0]) is None
    assert maps.normals(VIEWS[1]) is not None
    assert maps.normals(VIEWS[2]) is None
    assert maps.load(VIEWS[1]).depth is None
    with pytest.raises(InputError, match="no depth"):
        _ = maps.load(VIEWS[1]).required_depth


def test_only_the_parts_asked_for_are_read(tmp_path: Path) -> None:
    SceneMaps(tmp_path).save(VIEWS[0], depth(), np.ones((6, 8)), normals(), {"note": "x"})
    assert SceneMaps(tmp_path, ("depth",)).load(VIEWS[0]).confidence is None
    only_normals = SceneMaps(tmp_path, ("normals",)).load(VIEWS[0])
    assert only_normals.depth is None
    assert only_normals.normals is not None
    nothing = SceneMaps(tmp_path, ()).load(VIEWS[0])
    assert (nothing.depth, nothing.normals, nothing.meta["note"]) == (None, None, "x")


def test_a_map_without_a_valid_pixel_is_a_map(tmp_path: Path) -> None:
    """What other views contradict altogether: the stages after it skip its pixels, and do not stop."""
    SceneMaps(tmp_path).save(VIEWS[0], replace(depth(), valid=np.zeros((6, 8), bool)))
    assert not SceneMaps(tmp_path, kinds=SCENE_DEPTH).load(VIEWS[0]).required_depth.valid.any()


def save_small(path: Path) -> None:
    SceneMaps(path).save(VIEWS[0], DepthMap(np.ones((3, 4), np.float32), np.ones((3, 4), bool), DepthKind.SCENE))


def save_confidence_of_another_size(path: Path) -> None:
    SceneMaps(path).save(VIEWS[0], depth(), np.ones((3, 4)))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda path: None, r"a/0\.npz does not exist"),
    "wrong kind": (
        lambda path: SceneMaps(path).save(VIEWS[0], depth(kind=DepthKind.AFFINE)),
        r"a/0\.npz has AFFINE depth; allowed: SCENE, METRIC",
    ),
    "no depth": (lambda path: SceneMaps(path).save(VIEWS[0], normals=normals()), r"a/0\.npz has no 'depth'"),
    "wrong size": (save_small, r"a/0\.npz: depth is 4x3 pixels, the camera of a/0\.jpg 8x6"),
    "confidence of another size": (save_confidence_of_another_size, r"confidence is 4x3 pixels, .* 8x6"),
    "no meta": (lambda path: save_arrays(path / "a/0.npz", depth=np.ones((6, 8))), r"a/0\.npz has no 'meta'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_refused(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    write(tmp_path)
    with pytest.raises(InputError, match=message):
        SceneMaps(tmp_path, kinds=POSED_DEPTH).load(VIEWS[0])


def test_the_last_few_maps_stay_in_memory(tmp_path: Path) -> None:
    maps = SceneMaps(tmp_path, kinds=ANY_DEPTH, kept=2)
    for view in VIEWS[:3]:
        maps.save(view, depth())
    first = maps.load(VIEWS[0])
    maps.load(VIEWS[1])
    assert maps.load(VIEWS[0]) is first
    maps.load(VIEWS[2])
    assert maps.load(VIEWS[0]) is first, "used more recently than the second"
    maps.load(VIEWS[1])
    maps.load(VIEWS[2])
    assert maps.load(VIEWS[0]) is not first


def test_maps_are_streamed_in_order(tmp_path: Path) -> None:
    maps = SceneMaps(tmp_path)
    for i, view in enumerate(VIEWS):
        maps.save(view, depth(i + 1))
    streamed: list[ViewMaps] = list(maps.stream(VIEWS))
    assert [one.depth_or_zero.max() for one in streamed] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_read_ahead_than_there_are_threads(threads: int) -> None:
    started: list[int] = []
    lock = threading.Lock()

    def read(item: int) -> int:
        with lock:
            started.append(item)
        return item * item

    results = read_ahead(read, range(20), threads)
    for count in range(1, 21):
        assert next(results) == (count - 1) ** 2
        assert len(started) <= count + threads


def test_an_error_while_reading_ahead_comes_in_its_turn() -> None:
    results = read_ahead(lambda item: 1 // item, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_maps_are_saved_while_the_caller_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer stands still until the caller has gone on; at the end of the block all maps are there."""
    gone_on = threading.Event()

    def save_later(*arguments: Any) -> None:
        assert gone_on.wait(30)
        save_maps(*arguments)

    monkeypatch.setattr("lotus_recon.io.scene_maps.save_maps", save_later)
    with SceneMaps(tmp_path).saving_behind() as maps:
        for i, view in enumerate(VIEWS[:3]):
            maps.save(view, depth(i + 1))
        assert not maps.has(VIEWS[0])
        gone_on.set()
    assert [maps.load(view).depth_or_zero.max() for view in VIEWS[:3]] == [1, 2, 3]


def test_a_map_that_cannot_be_saved_is_an_error_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), SceneMaps(tmp_path / "file").saving_behind() as maps:
        maps.save(VIEWS[0], depth(1))


def test_no_more_maps_wait_to_be_saved_than_a_few() -> None:
    waiting: list[int] = []
    most = 0

    def save(item: int) -> None:
        time.sleep(0.002)
        waiting.remove(item)

    with background(waiting=2) as later:
        for i in range(10):
            waiting.append(i)
            later(save, i)
            most = max(most, len(waiting))
    assert most == 2
    assert not waiting
