"""Order, replacement and refusals of the batches, on small sets in memory."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from lotus_recon.datasets.samples import Sample, TrainingSet
from lotus_recon.errors import InputError
from lotus_recon.training import data
from lotus_recon.training.cache import Budget, CachedSet, is_on_device, read_only
from lotus_recon.training.config import DataConfig, ObjectiveConfig, SetConfig
from lotus_recon.training.data import Batches, check_data, open_sets
from lotus_recon.training.sampler import MixtureSampler
from lotus_recon.training.task_module import Batch

BOTH = ObjectiveConfig(tasks=["depth", "normal"])
ONE = DataConfig(sets=[SetConfig(root=Path("one"), width=32, height=24)], smallest_crop=0.7, photometric=1)
TWO = replace(ONE, sets=[*ONE.sets, SetConfig(root=Path("two"), width=48, height=16, probability=0.5)])


@dataclass
class Toy:
    """A data set in memory. Samples in ``broken`` cannot be read, those in ``empty`` have nothing valid."""

    title: str
    length: int
    broken: frozenset[int] = frozenset()
    empty: frozenset[int] = frozenset()
    slow: bool = False
    loaded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"{self.title}{index}"

    def load(self, index: int) -> Sample:
        self.loaded.append(index)
        rng = np.random.default_rng(index)
        if self.slow:
            time.sleep(rng.uniform(0, 0.01))
        if index in self.broken:
            raise InputError(f"{self.name(index)}.png is cut off")
        valid = np.full((24, 32), index not in self.empty)
        normals = np.broadcast_to(np.array([0, 0, -1], np.float32), (24, 32, 3)).copy()
        rgb, depth = rng.integers(0, 256, (24, 32, 3), np.uint8), rng.uniform(1, 5, (24, 32)).astype(np.float32)
        return Sample(self.name(index), rgb, depth, valid, None, normals, valid)


def toys(*lengths: int) -> list[TrainingSet]:
    return [Toy("ab"[i], length) for i, length in enumerate(lengths)]


def rows(batches: Iterable[Batch]) -> list[tuple[str, int, bytes]]:
    """All that a step holds, sample by sample, in an order of its own."""
    return sorted(
        (name, seed, b"".join(t[i].numpy().tobytes() for t in (b.image, *b.annotation.values(), *b.valid.values())))
        for b in batches
        for i, (name, seed) in enumerate(zip(b.names, b.seeds, strict=True))
    )


def names(batches: Batches, steps: int) -> list[str]:
    return [name for step in batches.run(0, steps) for batch in step for name in batch.names]


def test_batches_hold_what_they_promise() -> None:
    (batch,) = Batches(ONE, BOTH, seed=0, total_batch=4, sets=toys(10)).step(0)
    assert batch.image.shape == (4, 3, 24, 32)
    assert batch.image.dtype == torch.float32
    assert -1 <= batch.image.min() < -0.5
    assert 0.5 < batch.image.max() <= 1
    assert {task: maps.shape for task, maps in batch.annotation.items()} == dict.fromkeys(
        ("depth", "normal"), (4, 3, 24, 32)
    )
    assert all(mask.shape == (4, 1, 24, 32) and mask.dtype == torch.bool for mask in batch.valid.values())
    assert (batch.annotation["depth"][:, :1] == batch.annotation["depth"]).all()
    assert batch.annotation["depth"].abs().max() == 1
    assert (batch.annotation["normal"] == torch.tensor([0, 0, 1]).reshape(3, 1, 1)).all()
    assert len(set(batch.seeds)) == 4


def test_depth_itself_is_there_for_losses_on_it_and_zero_where_it_is_not_known() -> None:
    dataset = Toy("a", 10)
    whole = replace(ONE, smallest_crop=1, flip=False)
    (batch,) = Batches(whole, BOTH, 0, 4, [dataset]).step(0)
    assert batch.depth is not None
    for name, depth in zip(batch.names, batch.depth, strict=True):
        np.testing.assert_array_equal(depth[0], dataset.load(int(name[1:])).depth)

    class Holes(Toy):
        def load(self, index: int) -> Sample:
            sample = super().load(index)
            valid = np.indices((24, 32))[1] < 5
            return replace(sample, depth=np.where(valid, np.float32(2), np.float32(np.nan)), depth_valid=valid)

    (batch,) = Batches(whole, BOTH, 0, 4, [Holes("a", 10)]).step(0)
    assert batch.depth is not None
    assert (batch.depth == 2 * batch.valid["depth"]).all()
    assert Batches(ONE, ObjectiveConfig(tasks=["normal"]), 0, 2, toys(10)).step(0)[0].depth is None


def test_only_the_tasks_asked_for_are_there() -> None:
    (batch,) = Batches(ONE, ObjectiveConfig(tasks=["normal"]), 0, 2, toys(10)).step(0)
    assert set(batch.annotation) == set(batch.valid) == {"normal"}


def test_a_task_that_a_set_lacks_is_masked_out() -> None:
    class NoNormals(Toy):
        def load(self, index: int) -> Sample:
            return replace(super().load(index), normals=None, normals_valid=None)

    (batch,) = Batches(ONE, BOTH, 0, 2, [NoNormals("a", 5)]).step(0)
    assert batch.valid["depth"].all()
    assert not batch.valid["normal"].any()
    assert (batch.annotation["normal"] == 0).all()


@pytest.mark.parametrize("cache", ["ram", "device"])
@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (1, 2), (2, 2), (4, 1), (1, 8)])
def test_processes_and_accumulation_share_out_the_same_samples(
    processes: int, accumulation: int, cache: Literal["ram", "device"]
) -> None:
    config = replace(TWO, cache=cache)
    whole = [rows(step) for step in Batches(config, BOTH, 3, 8, toys(10, 5)).run(0, 6)]
    shares = [
        list(Batches(config, BOTH, 3, 8, toys(10, 5), index, processes, accumulation).run(0, 6))
        for index in range(processes)
    ]
    assert all(len(step) == accumulation for share in shares for step in share)
    assert [rows(b for share in shares for b in share[k]) for k in range(6)] == whole


def test_a_step_has_one_size() -> None:
    sizes = {step[0].image.shape[-2:] for step in Batches(TWO, BOTH, 0, 4, toys(10, 5)).run(0, 12)}
    assert sizes == {(24, 32), (16, 48)}


def test_starting_late_gives_the_same_steps_and_reads_nothing_before() -> None:
    through = [rows(step) for step in Batches(TWO, BOTH, 1, 4, toys(10, 5)).run(0, 9)]
    dataset = Toy("a", 10), Toy("b", 5)
    late = Batches(replace(TWO, cache="off"), BOTH, 1, 4, dataset)
    assert [rows(step) for step in late.run(6, 9)] == through[6:]
    assert len(dataset[0].loaded) + len(dataset[1].loaded) == 12
    assert [rows(late.step(k)) for k in (8, 0, 4)] == [through[k] for k in (8, 0, 4)]


def test_threads_change_nothing() -> None:
    one, many = (
        [
            rows(s)
            for s in Batches(replace(TWO, workers=w), BOTH, 1, 4, [Toy("a", 10, slow=True), Toy("b", 5)]).run(0, 8)
        ]
        for w in (1, 8)
    )
    assert one == many


def test_threads_read_ahead_about_a_step_but_no_further() -> None:
    dataset = Toy("a", 1000)
    steps = Batches(replace(ONE, workers=2), BOTH, 0, 8, [dataset]).run(0, 100)
    next(steps)
    deadline = time.monotonic() + 5
    while len(dataset.loaded) < 16 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(dataset.loaded) == 16


def test_an_epoch_holds_every_sample_once_and_the_next_in_another_order() -> None:
    seen = names(Batches(ONE, BOTH, 0, 4, toys(10)), 10)
    epochs = [seen[i : i + 10] for i in range(0, 40, 10)]
    assert all(len(set(epoch)) == 10 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_set_smaller_than_a_batch_is_repeated_with_other_seeds() -> None:
    (batch,) = Batches(ONE, BOTH, 0, 6, toys(2)).step(0)
    assert Counter(batch.names) == {"a0": 3, "a1": 3}
    assert len(set(batch.seeds)) == 6


def test_the_seed_of_the_run_changes_order_and_samples() -> None:
    assert names(Batches(ONE, BOTH, 0, 4, toys(50)), 3) != names(Batches(ONE, BOTH, 1, 4, toys(50)), 3)


def test_sets_come_as_probable_as_configured() -> None:
    sampler = MixtureSampler(seed=0, lengths=[7, 5, 3], probabilities=[9, 1, 0], samples_per_step=1)
    steps = 3 * 4096 // 2  # more than one block
    counts = Counter(sampler.step(step)[0].dataset for step in range(steps))
    assert counts[2] == 0
    assert abs(counts[1] - 0.1 * steps) < 4 * np.sqrt(0.1 * 0.9 * steps)


def test_positions_go_on_across_blocks_without_gaps() -> None:
    sampler = MixtureSampler(seed=0, lengths=[7, 5], probabilities=[1, 1], samples_per_step=3)
    steps = [sampler.step(step) for step in range(4090, 4105)]
    for dataset in (0, 1):
        positions = [index.position for step in steps for index in step if index.dataset == dataset]
        assert positions == list(range(positions[0], positions[0] + len(positions)))


def test_a_late_step_is_reached_at_once() -> None:
    sampler = MixtureSampler(seed=0, lengths=[75_000, 20_000], probabilities=[0.9, 0.1], samples_per_step=128)
    start = time.process_time()
    sampler.step(400_000)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("kind", ["broken", "empty"])
def test_an_unusable_sample_gives_way_to_the_next_one(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    dataset = Toy("a", 100, broken=frozenset({4})) if kind == "broken" else Toy("a", 100, empty=frozenset({4}))
    whole = names(Batches(ONE, BOTH, 0, 4, toys(100)), 26)
    batches = Batches(ONE, BOTH, 0, 4, [dataset])
    with caplog.at_level(logging.WARNING):
        replaced = names(batches, 25)
    following, whole = whole[1:101], whole[:100]
    assert replaced == [after if name == "a4" else name for name, after in zip(whole, following, strict=True)]
    assert batches.unusable == ["a4 of one"]
    assert [record.getMessage().startswith("skipping a4 of one: a4") for record in caplog.records] == [True]


def test_replacement_does_not_depend_on_what_was_read_before() -> None:
    def batches() -> Batches:
        return Batches(ONE, BOTH, 2, 4, [Toy("a", 200, broken=frozenset({3, 9}))])

    through = [rows(step) for step in batches().run(0, 60)]
    assert [rows(step) for step in batches().run(5, 60)] == through[5:]


def error_of(dataset: Toy, steps: int) -> str:
    batches = Batches(ONE, BOTH, 0, 4, [dataset])
    with pytest.raises(InputError) as error:
        for _ in batches.run(0, steps):
            pass
    return str(error.value)


def test_many_unusable_samples_are_an_error_that_names_them() -> None:
    message = error_of(Toy("a", 400, broken=frozenset(range(0, 400, 10))), 100)
    assert "one: 3 of the " in message
    assert "allowed: 1%" in message
    assert message.count(".png is cut off") == 3


def test_a_little_more_than_one_percent_is_found_at_the_latest_when_all_is_read() -> None:
    broken = frozenset(range(0, 400, 80))
    assert "5 of its 400 " in error_of(Toy("a", 400, broken=broken), 100)  # 1.25 %
    names(Batches(ONE, BOTH, 0, 4, [Toy("a", 400, broken=frozenset([*broken][:4]))]), 100)  # 1 % is allowed


def test_one_unusable_sample_of_a_small_set_is_more_than_one_percent() -> None:
    assert "1 of its 8 samples" in error_of(Toy("a", 8, broken=frozenset({1})), 20)


def test_a_set_without_a_usable_sample_is_an_error_at_once() -> None:
    dataset = Toy("a", 1000, broken=frozenset(range(1000)))
    assert "no usable sample" in error_of(dataset, 1)
    assert len(dataset.loaded) < 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, sets=[]), "data.sets is empty"),
        (lambda c: replace(c, sets=[replace(c.sets[0], probability=0)]), "at least one above 0"),
        (lambda c: replace(c, sets=[replace(c.sets[0], width=36)]), r"data.sets\[0\] \(one\).*36x24.*multiples of 8"),
        (lambda c: replace(c, validation=[replace(c.sets[0], width=20)]), r"data.validation\[0\]"),
    ],
)
def test_impossible_options_are_refused(change: Callable[[DataConfig], DataConfig], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_data(change(ONE))


@pytest.mark.parametrize(
    ("total_batch", "length", "index", "processes", "accumulation", "message"),
    [
        (0, 10, 0, 1, 1, "must be positive"),
        (4, 10, 2, 2, 1, "process 2 of 2"),
        (6, 10, 0, 2, 2, "a multiple of 4"),
        (4, 0, 0, 1, 1, "no samples"),
        (4, 3, 0, 4, 1, "4 processes, but one has only 3 samples"),
    ],
)
def test_samples_that_cannot_be_shared_out_are_refused(
    total_batch: int, length: int, index: int, processes: int, accumulation: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Batches(ONE, BOTH, 0, total_batch, toys(length), index, processes, accumulation)


@pytest.mark.parametrize("cache", ["auto", "ram"])
def test_kept_samples_give_the_same_batches_and_are_read_once(cache: Literal["auto", "ram"]) -> None:
    read, kept = [Toy("a", 10), Toy("b", 5)], [Toy("a", 10), Toy("b", 5)]
    config = replace(TWO, workers=1)
    expected = [rows(step) for step in Batches(replace(config, cache="off"), BOTH, 1, 4, read).run(0, 9)]
    batches = Batches(replace(config, cache=cache), BOTH, 1, 4, kept)
    assert [rows(step) for step in batches.run(0, 9)] == expected
    for plain, once in zip(read, kept, strict=True):
        assert len(plain.loaded) > len(set(plain.loaded))  # several epochs
        assert sorted(once.loaded) == sorted(set(plain.loaded))


@pytest.mark.parametrize("cache", ["ram", "device"])
def test_a_set_that_is_trained_at_two_sizes_is_kept_once(
    cache: Literal["ram", "device"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "open_training_set", lambda kind, root, split: Toy(f"{root.name} {split} ", 10))
    sizes = [SetConfig("rooms", Path("a"), width=width, height=64) for width in (64, 128)]
    sets = open_sets([*sizes, SetConfig("rooms", Path("a"), split="val")])
    assert sets[0] is sets[1]
    assert sets[0] is not sets[2]
    batches = Batches(replace(TWO, cache=cache, photometric=0, workers=1), BOTH, 1, 4, sets[:2])
    assert len(list(batches.run(0, 20))) == 20
    toy = sets[0]
    assert isinstance(toy, Toy)
    assert sorted(toy.loaded) == sorted(set(toy.loaded))


def test_no_more_samples_are_kept_than_the_memory_holds() -> None:
    toy = Toy("a", 10)
    size = sum(value.nbytes for value in vars(toy.load(0)).values() if isinstance(value, np.ndarray))
    few = CachedSet(toy, Budget(2.5 * size), read_only)
    toy.loaded.clear()
    for index in (0, 1, 2, 0, 1, 2, 2):
        assert few.load(index).name == f"a{index}"
    assert toy.loaded == [0, 1, 2, 2, 2]
    with pytest.raises(ValueError, match="read-only"):
        few.load(0).rgb[:] = 0


def test_samples_on_the_training_device_are_read_once_and_give_the_batches_of_the_others() -> None:
    kept = [Toy("a", 10), Toy("b", 5)]
    config = replace(TWO, photometric=0, workers=1)
    expected = [step[0] for step in Batches(replace(config, cache="off"), BOTH, 1, 4, toys(10, 5)).run(0, 9)]
    batches = [step[0] for step in Batches(replace(config, cache="device"), BOTH, 1, 4, kept).run(0, 9)]
    for ours, theirs in zip(batches, expected, strict=True):
        assert (ours.names, ours.seeds) == (theirs.names, theirs.seeds)
        torch.testing.assert_close(ours.image, theirs.image, rtol=0, atol=1.01 / 127.5)
        torch.testing.assert_close(ours.annotation["depth"], theirs.annotation["depth"], rtol=0, atol=1e-5)
    assert all(sorted(set(toy.loaded)) == sorted(toy.loaded) for toy in kept)


def test_auto_keeps_samples_on_a_device_only_where_all_of_them_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, cuda = Toy("a", 10), torch.device("cuda")
    size = 10 * sum(value.nbytes for value in vars(toy.load(0)).values() if isinstance(value, np.ndarray))
    free = {"cuda": 2 * size}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.type], 0))
    assert is_on_device([toy], "auto", cuda)
    free["cuda"] -= 1
    assert not is_on_device([toy], "auto", cuda)
    assert is_on_device([toy], "device", cuda)
    assert not is_on_device([toy], "auto", torch.device("cpu"))
    assert not is_on_device([Toy("a", 10, broken=frozenset({0}))], "auto", cuda)
