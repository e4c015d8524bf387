"""Which variant of Mitsuba is used, whatever LLVM libraries there are: nothing that aborts is used for rooms."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from lotus_recon import native
from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms import mitsuba_variant, path_tracing, renderers, writing
from lotus_recon.synthetic.rooms.config import RoomsConfig
from lotus_recon.synthetic.rooms.mitsuba_variant import FAST, LIBRARY_VARIABLE, SCALAR, Variant, best_variant

pytest.importorskip("mitsuba", reason="Mitsuba is not installed")

# What is tried in a subprocess: aborts with libraries that are called bad, as Dr.Jit does with an LLVM that is too old.
KERNEL = f"""
import os
if {{!r}} == "{FAST}" and "bad" in (os.environ.get("{LIBRARY_VARIABLE}") or "bad"):
    os.write(2, b"LLVM ERROR: Cannot select: fminimum\\n")
    os.abort()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One on which nothing was tried so far."""
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(LIBRARY_VARIABLE, "")  # and take away in the end what a test sets
    mitsuba_variant._best_variant.cache_clear()
    path_tracing.load_mitsuba.cache_clear()
    yield
    mitsuba_variant._best_variant.cache_clear()
    path_tracing.load_mitsuba.cache_clear()


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The libraries, in the order in which the kernel above is tried with them."""
    monkeypatch.setattr(mitsuba_variant, "_KERNEL", KERNEL)
    names: list[str] = []
    real = native.attempt

    def attempt(code: str, environment: dict[str, str]) -> native.Outcome:
        names.append(Path(environment.get(LIBRARY_VARIABLE, "none")).name)
        return real(code, environment)

    monkeypatch.setattr(native, "attempt", attempt)
    return names


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, names: Sequence[str]) -> list[Path]:
    """Files in place of the LLVM libraries of this system."""
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(b"library")
    monkeypatch.setattr(mitsuba_variant, "_listed_by_the_linker", lambda: iter(paths))
    return paths


def test_the_first_library_that_works_is_used_and_told_to_drjit(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("libLLVM-15.so.1", "libLLVM.so.22.1-bad", "libLLVM-17.so.1", "libLLVM-14.so.1")
    paths = installed(monkeypatch, tmp_path, names)
    assert best_variant() == Variant(FAST, paths[2])
    assert tried == ["libLLVM.so.22.1-bad", "libLLVM-17.so.1"]
    used: list[str] = []
    monkeypatch.setattr("mitsuba.set_variant", lambda name: used.append(f"{name} {os.environ[LIBRARY_VARIABLE]}"))
    path_tracing.load_mitsuba()
    assert used == [f"{FAST} {paths[2]}"]


def test_the_version_that_was_tested_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("libLLVM-15.so.1", "libLLVM.so.22.1", "libLLVM.so.19.1", "libLLVM-17.so.1", "libLLVMSPIRVLib.so.15")
    paths = installed(monkeypatch, tmp_path, names)
    (tmp_path / "libLLVM-19.so").symlink_to(paths[2])
    found = [path.name for path in mitsuba_variant.llvm_libraries()]
    assert found == ["libLLVM.so.19.1", "libLLVM.so.22.1", "libLLVM-17.so.1", "libLLVM-15.so.1"]


def test_an_abort_costs_the_fast_variant_and_one_line(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = installed(monkeypatch, tmp_path, ["libLLVM-15.so.1-bad"])
    variant = best_variant()
    assert (variant.name, variant.library) == (SCALAR, None)
    with caplog.at_level(logging.WARNING):
        writing.check_config(RoomsConfig(renderer="auto", catalog="procedural"))
    (line,) = caplog.messages
    for part in (str(path), "SIGABRT: LLVM ERROR: Cannot select", "scalar variant", "apt-get install libllvm19"):
        assert part in line


def test_without_any_library_drjit_is_asked_and_the_package_named(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, [])
    variant = best_variant()
    assert variant.name == SCALAR
    assert variant.drawback is not None
    assert variant.drawback.startswith("Mitsuba finds no LLVM library")
    assert "libllvm19" in variant.drawback
    assert tried == ["none", "none"]  # the second is the scalar variant


def test_a_library_chosen_by_the_user_is_the_only_one_tried(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = installed(monkeypatch, tmp_path, ["libLLVM.so.19.1", "libLLVM.so.20.1-bad"])
    monkeypatch.setenv(LIBRARY_VARIABLE, str(paths[1]))
    variant = best_variant()
    assert variant.name == SCALAR
    assert variant.drawback is not None
    assert str(paths[1]) in variant.drawback


@pytest.mark.parametrize("name", ["libLLVM.so.19.1", "libLLVM.so.19.1-bad"])
def test_a_library_is_tried_once_for_all_runs_until_it_changes(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (path,) = installed(monkeypatch, tmp_path, [name])
    first = best_variant()
    count = len(tried)
    mitsuba_variant._best_variant.cache_clear()
    monkeypatch.setattr(native, "_remembered", {})  # as another process
    assert best_variant() == first
    assert len(tried) == count
    path.write_bytes(b"another library")
    mitsuba_variant._best_variant.cache_clear()
    best_variant()
    assert len(tried) > count
    count = len(tried)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    mitsuba_variant._best_variant.cache_clear()
    best_variant()
    assert len(tried) > count


def test_an_attempt_that_was_killed_is_made_again(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, ["libLLVM.so.19.1"])
    monkeypatch.setattr(mitsuba_variant, "_KERNEL", f"import os\nif {{!r}} == {FAST!r}: os.kill(os.getpid(), 9)")
    assert best_variant().name == SCALAR
    mitsuba_variant._best_variant.cache_clear()
    monkeypatch.setattr(mitsuba_variant, "_KERNEL", KERNEL)
    assert best_variant().name == FAST


def test_where_no_variant_runs_rooms_are_ray_cast(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, tmp_path, [])
    monkeypatch.setattr(mitsuba_variant, "_KERNEL", "raise SystemExit('no {}')")
    assert renderers.resolved_renderer("auto") == "raycast"
    assert "none of Mitsuba's variants" in caplog.text
    with pytest.raises(InputError, match="none of Mitsuba's variants .* raycast"):
        renderers.resolved_renderer("mitsuba")


def test_a_mitsuba_that_aborts_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(native, "failures", lambda names: {"mitsuba": "importing mitsuba ends the process (SIGABRT)"})
    assert renderers.resolved_renderer("auto") == "raycast"
    assert "SIGABRT" in caplog.text
    with pytest.raises(InputError, match="SIGABRT"):
        renderers.resolved_renderer("mitsuba")


def test_a_denoiser_that_aborts_is_left_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from lotus_recon.synthetic.rooms import denoising

    pytest.importorskip("pyoidn", reason="Open Image Denoise is not installed")
    monkeypatch.setattr(native, "failures", lambda names: {"pyoidn": "importing pyoidn ends the process (SIGILL)"})
    denoising.load_denoiser.cache_clear()
    assert denoising.load_denoiser(7) is None
    assert "not denoised: importing pyoidn ends the process (SIGILL)" in caplog.text
    denoising.load_denoiser.cache_clear()


CHECK = "from lotus_recon.synthetic.rooms import mitsuba_kernel as kernel\n"


def test_the_kernel_passes_with_the_scalar_variant_and_notices_wrong_values() -> None:
    """In processes of their own: a process keeps the variant that it loaded first for its other tests."""
    assert native.attempt(f"{CHECK}kernel.check_variant({SCALAR!r})").failure is None
    wrong = (
        f"{CHECK}import mitsuba\nreal = mitsuba.render\n"
        f"mitsuba.render = lambda *a, **k: 1.001 * real(*a, **k)\nkernel.check_variant({SCALAR!r})"
    )
    failure = native.attempt(wrong).failure
    assert failure is not None
    assert "computes wrong values" in failure


def test_rooms_look_alike_in_both_variants(tmp_path: Path) -> None:
    """The scalar variant, which rooms fall back to, against the value that the fast one has to give too."""
    code = (
        "from lotus_recon.synthetic.rooms import path_tracing\n"
        "from lotus_recon.synthetic.rooms.mitsuba_variant import Variant\n"
        f"path_tracing.best_variant = lambda: Variant({SCALAR!r})\n"
        "from lotus_recon.synthetic.rooms.path_tracing import PathTracer\n"
        "from lotus_recon.synthetic.rooms.scene import Shot\n"
        "from lotus_recon.types import Camera\n"
        "from tests.synthetic.rooms.render_scenes import ALONG_Y, furnace\n"
        "shot = Shot(Camera.from_fov_deg(70, 16, 16), ALONG_Y)\n"
        "image = PathTracer(furnace(0.3, 0.7), samples=64, threads=1, denoise=False).render(shot, 0).radiance\n"
        "print(image.mean())"
    )
    outcome = native.attempt(code)
    assert outcome.failure is None
    assert float(outcome.printed) == pytest.approx(0.7 / (1 - 0.3), rel=0.01)
    assert np.isfinite(float(outcome.printed))
