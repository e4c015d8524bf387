"""Sessions: their folders, and when these go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lotus_recon.app.sessions import Sessions, own_root


def test_a_session_goes_with_its_last_tab_and_its_files_with_it(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, grace_s=0.0)
    session = sessions.new()
    upload = tmp_path / "uploads/0123/a.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"photo")
    session.uploads.add(upload)
    folder = session.new_folder()
    with sessions.open_tab(session), sessions.open_tab(session):
        sessions.close_left()
        assert folder.is_dir()
    assert sessions.find(session.token) is session
    sessions.close_left()
    assert sessions.find(session.token) is None
    assert not session.folder.exists()
    assert not upload.exists()


def test_a_page_may_be_loaded_again_within_the_grace(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, grace_s=60.0)
    session = sessions.new()
    with sessions.open_tab(session):
        pass
    sessions.close_left()
    assert sessions.find(session.token) is session
    sessions.close_all()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_two_sessions_sent_stays_for_the_other(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, grace_s=0.0)
    upload = tmp_path / "uploads/0123/a.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"photo")
    one, other = sessions.new(), sessions.new()
    for session in (one, other):
        session.uploads.add(upload)
    with sessions.open_tab(other):
        sessions.close_left()
        assert sessions.find(one.token) is None
        assert upload.exists()


def test_names_of_sessions_cannot_be_guessed(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, 0.0)
    tokens = {sessions.new().token for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32
    assert sessions.find(None) is sessions.find("") is sessions.find("x") is None


def test_what_a_killed_app_left_is_deleted_and_what_a_running_one_has_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import os, tempfile; from lotus_recon.app.sessions import own_root\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with own_root() as root: (root / 'photo').touch(); print(root, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = Path(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
    assert (killed / "photo").exists()
    (tmp_path / "lotus-recon-app-of-somebody-else").mkdir()  # no lock: not ours to judge
    with own_root() as running:
        assert not killed.exists()
        assert running.stat().st_mode & 0o077 == 0
        code = code.replace("os.kill(os.getpid(), 9)", "pass")
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert running.is_dir()
    assert not running.exists()
    assert (tmp_path / "lotus-recon-app-of-somebody-else").is_dir()
