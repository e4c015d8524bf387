"""The output folder keeps what is done, repeats what is not, and survives being killed."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.measuring import warnings_logged
from lotus_recon.recipes.engine import run_stages
from lotus_recon.stages import Context, StageSpec
from lotus_recon.threads import consume, in_threads
from lotus_recon.workspace import OWNERS_FILE, Hashes, Place, Workspace, make_folder, write_atomically, write_json
from tests.killing import kill_when


@dataclass(frozen=True)
class Options:
    """What the stages below are run with, by name."""

    values: dict[str, int] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=Runtime)


@dataclass(frozen=True)
class Job:
    config: Options = field(default_factory=Options)
    label: str = ""


Spec = StageSpec[Job, str]


class Recorder:
    """Three stages a -> b -> c; each writes its value and what it read, and counts its runs."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.ran: list[str] = []
        a = self.stage("a", ())
        b = self.stage("b", (a,))
        self.table = [a, b, self.stage("c", (b,))]

    def stage(self, name: str, reads: tuple[Spec, ...], **more: Any) -> Spec:
        def run(context: Context[Job], folder: Path) -> str:
            self.ran.append(name)
            value = context.job.config.values.get(name, 0)
            (folder / f"{name}.more").mkdir()
            (folder / f"{name}.more/{name}.txt").write_text(name)
            (folder / f"{name}.txt").write_text(f"{name}{value}" + "".join(context[read] for read in reads))
            return ""

        return Spec(
            name=name,
            summary="",
            run=run,
            load=lambda folder: (folder / f"{name}.txt").read_text(),
            options=lambda job: job.config.values.get(name, 0),
            reads=reads,
            **{"folder": lambda job: f"deep/{name}", **more},
        )

    def run(self, only: str | None = None, from_stage: str | None = None, **values: int) -> Context[Job]:
        self.ran.clear()
        return run_stages(self.workspace, self.table, Job(Options(values)), only, from_stage)

    def last(self, **values: int) -> str:
        return self.run(None, None, **values)[self.table[2]]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "out")


def test_a_second_run_does_nothing_and_gives_the_same(recorder: Recorder) -> None:
    assert recorder.last() == "c0b0a0"
    assert recorder.ran == ["a", "b", "c"]
    assert recorder.last() == "c0b0a0"
    assert recorder.ran == []


def test_a_changed_config_repeats_that_stage_and_those_after_it(recorder: Recorder) -> None:
    recorder.run()
    assert recorder.last(b=5) == "c0b5a0"
    assert recorder.ran == ["b", "c"]


def test_a_deleted_stage_file_repeats_that_stage_and_those_after_it(recorder: Recorder) -> None:
    recorder.run()
    (recorder.workspace.root / "deep/b" / "stage.json").unlink()
    recorder.run()
    assert recorder.ran == ["b", "c"]


DAMAGE = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a list": lambda path: path.write_text("[1, 2, 3]"),
    "a number": lambda path: path.write_text("7.125"),
    "an object": lambda path: path.write_text('{"files": 3}'),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "deleted": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("stage", "abc")
@pytest.mark.parametrize("file", ["stage.json", "{}.txt", "{}.more/{}.txt"])
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: str, stage: str, file: str) -> None:
    """Each file of each stage: that stage and those after it run again, with the result of an undisturbed run."""
    recorder = Recorder(tmp_path / "out")
    recorder.run()
    DAMAGE[damage](recorder.workspace.root / "deep" / stage / file.format(stage, stage))
    assert recorder.last() == "c0b0a0"
    assert recorder.ran == list("abc")["abc".index(stage) :]
    assert recorder.last() == "c0b0a0"
    assert recorder.ran == []


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", ["b.stage.json", "b.txt", "b.more/b.txt"])
def test_what_is_damaged_of_files_added_to_a_folder_is_made_again(tmp_path: Path, damage: str, file: str) -> None:
    recorder = Recorder(tmp_path / "out")
    own = recorder.table[0]
    recorder.table = [own, recorder.stage("b", (own,), folder=lambda job: "deep/a", adds_to_folder=True)]
    recorder.run()
    DAMAGE[damage](recorder.workspace.root / "deep/a" / file)
    recorder.run()
    assert recorder.ran == ["b"]
    assert (recorder.workspace.root / "deep/a/b.txt").read_text() == "b0a0"
    recorder.run()
    assert recorder.ran == []


def test_a_file_that_an_added_stage_writes_again_is_that_ones(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "out")
    own = recorder.table[0]

    def writing_again(context: Context[Job], folder: Path) -> str:
        recorder.ran.append("b")
        (folder / "a.txt").write_text(context[own] + " again")
        return ""

    added = recorder.stage("b", (own,), folder=lambda job: "deep/a", adds_to_folder=True)
    recorder.table = [own, replace(added, run=writing_again)]
    recorder.run()
    recorder.run()
    assert recorder.ran == []
    (recorder.workspace.root / "deep/a/a.txt").write_text("cut")
    recorder.run()
    assert recorder.ran == ["a", "b"]
    assert (recorder.workspace.root / "deep/a/a.txt").read_text() == "a0 again"
    (recorder.workspace.root / "deep/a/a.more/a.txt").unlink()
    recorder.run()
    assert recorder.ran == ["a", "b"]


def test_why_a_finished_stage_runs_again_is_said(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    recorder.run()
    (recorder.workspace.root / "deep/b/b.txt").unlink()
    recorder.run()
    assert "b: b.txt of" in caplog.text
    assert "gone or of another size: the stage runs again" in caplog.text
    (recorder.workspace.root / "deep/c/stage.json").write_text("")
    recorder.run()
    assert "deep/c/stage.json cannot be read: the stage runs again" in caplog.text


def test_a_stage_file_does_not_remove_what_lies_elsewhere(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "out")
    recorder.table = [recorder.table[0], recorder.stage("b", (), folder=lambda job: "deep/a", adds_to_folder=True)]
    recorder.run()
    info = recorder.workspace.root / "deep/a/b.stage.json"
    (tmp_path / "mine.txt").write_text("mine")
    for outside in ("../../../mine.txt", str(tmp_path / "mine.txt")):
        content = json.loads(info.read_text())
        info.write_text(json.dumps({**content, "config_hash": "", "files": {outside: 4}}))
        recorder.run()
        assert (tmp_path / "mine.txt").read_text() == "mine"


def test_folders_of_the_first_version_list_names_only(recorder: Recorder) -> None:
    recorder.run()
    for stage in "abc":
        info = recorder.workspace.root / f"deep/{stage}/stage.json"
        info.write_text(json.dumps({**json.loads(info.read_text()), "files": [f"{stage}.more", f"{stage}.txt"]}))
    recorder.run()
    assert recorder.ran == []
    (recorder.workspace.root / "deep/c/c.txt").unlink()
    recorder.run()
    assert recorder.ran == ["c"]


def test_what_is_renamed_is_on_the_disk_before(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of calls: each file and folder of a stage is synced, then renamed, then the folder above synced."""
    calls: list[tuple[str, str]] = []
    fsync, rename = os.fsync, Path.rename

    def syncing(descriptor: int) -> None:
        calls.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def renaming(self: Path, target: Path) -> Path:
        calls.append(("rename", target.name))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "rename", renaming)
    recorder.table = recorder.table[:1]
    recorder.run()
    committed = calls.index(("rename", "a"))
    synced = {name for what, name in calls[:committed] if what == "sync"}
    assert {"a.txt", "a.more", "stage.json"} <= synced
    assert len([name for name in synced if name.endswith("-stage.json")]) == 1, "before it gets its name, too"
    assert calls[committed + 1 :] == [("sync", "deep")]


def test_only_runs_one_stage_on_what_is_there(recorder: Recorder) -> None:
    with pytest.raises(InputError, match="'deep/a' has not been run"):
        recorder.run(only="b")
    recorder.run()
    recorder.run(only="b", b=7)
    assert recorder.ran == ["b"]


def test_from_repeats_although_nothing_changed(recorder: Recorder) -> None:
    recorder.run()
    recorder.run(from_stage="b")
    assert recorder.ran == ["b", "c"]


def test_an_unknown_stage_names_the_nearest(recorder: Recorder) -> None:
    with pytest.raises(InputError, match="unknown stage 'bb'.*stages: a, b, c"):
        recorder.run(only="bb")


def test_a_failed_stage_leaves_no_folder_and_the_old_result_survives(recorder: Recorder) -> None:
    recorder.run()

    def full(context: Context[Job], folder: Path) -> str:
        (folder / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    table = [recorder.table[0], replace(recorder.table[1], run=full)]
    with pytest.raises(OSError, match="No space"):
        run_stages(recorder.workspace, table, Job(Options({"b": 1})))
    assert (recorder.workspace.root / "deep/b" / "b.txt").read_text() == "b0a0"
    assert recorder.last(b=1) == "c0b1a0"
    assert not (recorder.workspace.root / "deep/b" / "half.txt").exists()


def test_kill_between_the_two_renames_of_a_commit_is_mended(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.run()
    real_rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if target.name == "b":  # the second rename: the old result is gone, the new one not yet in place
            raise KeyboardInterrupt
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        recorder.run(b=3)
    monkeypatch.undo()
    assert recorder.last(b=3) == "c0b3a0"
    assert recorder.ran == ["c"], "the finished scratch folder is committed, not computed again"


KILLED = """
import sys, time
from pathlib import Path
from lotus_recon.workspace import Hashes, Place, Workspace
workspace = Workspace(Path(sys.argv[1]))
def run(folder):
    for i in range(20):
        part = folder / f"{i}.txt"
        if not part.exists():
            part.write_text(str(i))
            time.sleep(0.02)
with workspace.locked():
    workspace.run_stage("s", Place("s"), run, Hashes.of({}, {}), resumable=True)
"""


def test_kill_9_half_way_then_the_same_result(tmp_path: Path) -> None:
    for number in (0, 7, 15):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
        kill_when(process, lambda n=number: any(tmp_path.glob(f".scratch/s/*/{n}.txt")))  # type: ignore[misc]
        assert not (tmp_path / "s").exists(), "half done"
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True)
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == sorted(
        [f"{i}.txt" for i in range(20)] + ["stage.json"]
    )


def test_a_resumed_stage_finds_no_half_written_files(tmp_path: Path) -> None:
    place, wanted = Place("s"), Hashes.of({}, {})

    def killed(folder: Path) -> None:
        (folder / "sub").mkdir()
        for name in ("a.txt", ".0123abcd-b.txt", "sub/.0123abcd-c.txt", ".hidden-d.txt"):
            (folder / name).touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workspace(tmp_path).run_stage("s", place, killed, wanted, resumable=True)
    Workspace(tmp_path).run_stage("s", place, lambda folder: None, wanted, resumable=True)
    left = sorted(path.relative_to(tmp_path / "s").as_posix() for path in (tmp_path / "s").rglob("*"))
    assert left == [".hidden-d.txt", "a.txt", "stage.json", "sub"]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_what_a_stage_freed_does_not_count_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MB in small parts below one that stays, held by a circle."""
    monkeypatch.setattr("lotus_recon.measuring._MUCH_MB", 100)
    workspace, kept = Workspace(tmp_path), []

    def greedy(folder: Path) -> None:
        circle: list[Any] = [bytes(2000) for _ in range(100_000)]
        circle.append(circle)
        kept.append(bytes(2000))

    for name, run in (("greedy", greedy), ("modest", lambda folder: None)):
        workspace.run_stage(name, Place(name), run, Hashes.of({}, {}))
    peaks = [workspace.stage_info(Place(name))["peak_memory_mb"] for name in ("greedy", "modest")]
    assert peaks[1] < peaks[0] - 100


def test_two_runs_cannot_share_an_output_folder(tmp_path: Path) -> None:
    with Workspace(tmp_path).locked(), pytest.raises(InputError, match="another run is using"):
        with Workspace(tmp_path).locked():
            pass
    with Workspace(tmp_path).locked():  # free again
        pass


def test_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        make_folder(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        make_folder(tmp_path / "out")


def test_a_read_only_file_system_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot be written|is a file"):
        make_folder(Path("/proc/lotus_recon"))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def full(part: Path) -> None:
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a.txt", full)
    assert list(tmp_path.iterdir()) == []


def test_json_without_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_warnings_of_stages_in_other_threads_are_theirs() -> None:
    """Each of two stages at the same time has its own, and those of the threads that work for it."""
    log, both = logging.getLogger("lotus_recon.test"), threading.Barrier(2, timeout=30)

    def stage(name: str) -> list[str]:
        with warnings_logged() as messages:
            both.wait()
            log.warning("%s itself", name)
            consume(in_threads(lambda part: log.warning("%s, part %d", name, part), [1, 2], 2))
            both.wait()
        return sorted(messages)

    found = list(in_threads(stage, ["first", "second"], 2))
    assert found == [[f"{name} itself", f"{name}, part 1", f"{name}, part 2"] for name in ("first", "second")]


def test_warnings_of_threads_that_know_of_no_stage_are_kept() -> None:
    with warnings_logged() as messages:
        thread = threading.Thread(target=logging.getLogger("lotus_recon.test").warning, args=("from a library",))
        thread.start()
        thread.join()
    assert messages == ["from a library"]


def test_what_a_killed_run_left_of_bookkeeping_goes_with_the_next(tmp_path: Path) -> None:
    left = [tmp_path / ".0123abcd-config.yaml", tmp_path / f".89abcdef-{OWNERS_FILE}"]
    kept = [tmp_path / ".0123abcd-mine.txt", tmp_path / ".settings-config.yaml"]
    for path in (*left, *kept):
        path.touch()
    with Workspace(tmp_path).locked():
        pass
    assert [path.exists() for path in (*left, *kept)] == [False, False, True, True]
