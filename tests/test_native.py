"""Libraries that abort, miss something or do not exist, tried before a run: each costs a message."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lotus_recon import native
from lotus_recon.errors import InputError
from lotus_recon.native import Library, Outcome

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = str(ROOT / "data/sample/images")
MISSING_OBJECT = "cannot open shared object file: No such file or directory"

# The source of a module, and what the message about it must hold.
BROKEN = {
    "aborting": (
        "import os\nos.abort()",
        ["importing aborting ends the process (SIGABRT)", "--force-reinstall aborting"],
    ),
    "talkative": (
        "import os, sys\nprint('LLVM ERROR: Cannot select', file=sys.stderr, flush=True)\nos.abort()",
        ["(SIGABRT: LLVM ERROR: Cannot select)"],
    ),
    "foreign": ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)", ["SIGILL", "built for another processor"]),
    "leaving": ("import os\nos._exit(3)", ["importing leaving ends the process (status 3)"]),
    "quiet": ("import os\nos._exit(0)", ["importing quiet ends the process (status 0)"]),
    "objectless": (f"raise ImportError('libEGL.so.1: {MISSING_OBJECT}')", ["sudo apt-get install libegl1"]),
    "by_hand": (f"raise OSError('libGL.so.1: {MISSING_OBJECT}')", ["sudo apt-get install libgl1"]),
    "obscure": (
        f"raise ImportError('libobscure-2.so.7: {MISSING_OBJECT}')",
        ["the system package that holds libobscure-2.so.7"],
    ),
    "needy": (
        "import no_such_dependency",
        ["No module named 'no_such_dependency'", "pip install --force-reinstall needy"],
    ),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the broken modules and one that works and prints."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, (source, _) in BROKEN.items():
        (folder / f"{name}.py").write_text(source)
    (folder / "sound.py").write_text("print('hello')")
    monkeypatch.syspath_prepend(folder)
    return folder


def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The code of every attempt in a subprocess from now on."""
    codes: list[str] = []
    real = native.attempt

    def counted(code: str, *arguments: object, **options: object) -> Outcome:
        codes.append(code)
        return real(code, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(native, "attempt", counted)
    return codes


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_library_is_an_input_error_that_says_what_to_do(name: str, modules: Path) -> None:
    with pytest.raises(InputError) as caught:
        native.require([name])
    for part in BROKEN[name][1]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_follows_an_abort_is_tried_too(modules: Path) -> None:
    found = native.failures(["sound", "aborting", "by_hand", "foreign", "no_such_module", "sound"])
    assert sorted(found) == ["aborting", "by_hand", "foreign", "no_such_module"]
    assert found["no_such_module"] == "no_such_module is not installed: pip install no_such_module"


def test_all_missing_system_packages_are_named_at_once(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (modules / "sound.py").write_text(f"raise ImportError('libfirst.so.1: {MISSING_OBJECT}')")
    objects = {"libfirst.so.1": "libfirst1", "libc.so.6": "libc6", "libsecond.so.2": "libsecond2"}
    monkeypatch.setitem(native.LIBRARIES, "sound", Library("sound[all]", objects))
    # In the process where the import failed:
    message = native._import_message("sound", f"ImportError: libfirst.so.1: {MISSING_OBJECT}")
    assert message.endswith("libfirst1, libsecond2 (sudo apt-get install libfirst1 libsecond2)")


def test_extras_are_named_as_pip_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "mitsuba", raising=False)
    with pytest.raises(InputError, match=re.escape("pip install 'lotus-recon[train]'")):
        native.require(["mitsuba"])


def test_libraries_that_work_are_tried_once_for_all_runs(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = attempts(monkeypatch)
    native.require(["sound", "sys"])
    assert len(codes) == 1
    assert "'sys'" not in codes[0], "what is imported already needs no attempt"
    native.require(["sound"])
    monkeypatch.setattr(native, "_remembered", {})  # as another process
    native.require(["sound"])
    assert len(codes) == 1


def test_a_library_that_was_replaced_is_tried_again(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native.require(["sound"])
    (modules / "sound.py").write_text("import os\nos.abort()")
    assert "sound" in native.failures(["sound"])


def test_a_broken_library_is_tried_again(modules: Path) -> None:
    """A user who installs what was missing must not be told the same again."""
    flag = modules / "installed"
    (modules / "sound.py").write_text(
        f"import pathlib\nif not pathlib.Path({str(flag)!r}).exists(): raise OSError('no')"
    )
    assert "sound" in native.failures(["sound"])
    flag.touch()
    native.require(["sound"])


def test_another_set_of_system_libraries_is_another_machine(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native.require(["sound"])
    codes = attempts(monkeypatch)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(modules))
    native.require(["sound"])
    assert len(codes) == 1


def test_a_cache_that_cannot_be_used_costs_attempts_only(
    modules: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache.touch()  # a file where a folder should be
    codes = attempts(monkeypatch)
    native.require(["sound"])
    monkeypatch.setattr(native, "_remembered", {})
    native.require(["sound"])
    assert len(codes) == 2


def test_broken_cache_entries_are_no_obstacle(modules: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native.require(["sound"])
    (entry,) = (own_cache / "native").iterdir()
    entry.write_text("[]")
    monkeypatch.setattr(native, "_remembered", {})
    native.require(["sound"])


def test_attempts_end() -> None:
    outcome = native.attempt("print('x', flush=True)\nwhile True: pass", timeout_s=0.5)
    assert outcome.failure == "it does not end within 0.5 s"
    assert not outcome.is_final
    assert not native.attempt("import os\nos.kill(os.getpid(), 9)").is_final
    assert native.attempt("import os\nprint(os.environ['THIS'])", {"THIS": "that"}) == Outcome(None, True, "that\n")


def test_open3d_without_a_system_library_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real library: the linker meets a file that is no library before the one of the system."""
    (tmp_path / "libEGL.so.1").write_bytes(b"")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    with pytest.raises(InputError, match="open3d cannot be imported .*libEGL.*sudo apt-get install libegl1"):
        native.require(["open3d"])


NEEDS = {
    "make_rooms without open3d": ("open3d", "make_rooms", ()),
    "multi_view without pycolmap": ("pycolmap", "multi_view", (SAMPLE,)),
    "multi_view without open3d": ("open3d", "multi_view", (SAMPLE,)),
    "multi_view, report alone, without open3d": ("open3d", "multi_view", (SAMPLE, "--only", "report")),
    "multi_view, normals, without numba": ("numba", "multi_view", (SAMPLE, "--fusion", "normal")),
    "single_view, integrated, without numba": ("numba", "single_view", (SAMPLE, "--surface", "integrated")),
}


@pytest.mark.parametrize("case", NEEDS)
def test_a_run_is_refused_before_any_work_without_a_library_that_it_needs(case: str, tmp_path: Path) -> None:
    library, pipeline, arguments = NEEDS[case]
    (tmp_path / f"{library}.py").write_text("import os\nos.abort()")
    command = [sys.executable, "-m", f"pipelines.{pipeline}", *arguments, "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 2, done.stderr
    assert f"error: importing {library} ends the process (SIGABRT)" in done.stderr
    assert not (tmp_path / "out").exists()


def test_pycolmap_features_that_its_wheel_lacks_abort_and_are_reported() -> None:
    """Why no option may name them; should this fail one day, a pycolmap with ONNX has come."""
    code = (
        "import PIL.Image, pycolmap, pathlib, tempfile\n"
        "folder = pathlib.Path(tempfile.mkdtemp()); PIL.Image.new('RGB', (64, 64)).save(folder / 'a.png')\n"
        "options = pycolmap.FeatureExtractionOptions(); options.use_gpu = False\n"
        "options.type = pycolmap.FeatureExtractorType.ALIKED_N32\n"
        "pycolmap.extract_features(str(folder / 'database.db'), str(folder), extraction_options=options)"
    )
    outcome = native.attempt(code)
    assert outcome.failure is not None
    assert outcome.failure.startswith("SIGABRT")


def test_no_code_names_what_pycolmap_may_lack() -> None:
    """SIFT is the default of all options: an extractor or matcher of another kind would have to be named."""
    names = re.compile("ALIKED|LIGHTGLUE|\\bLOMA|FeatureExtractorType|FeatureMatcherType", re.IGNORECASE)
    named = [path for folder in ("lotus_recon", "pipelines") for path in (ROOT / folder).rglob("*.py")]
    assert named
    assert not [path for path in named if names.search(path.read_text())]


@pytest.mark.parametrize("key", ["extractor", "features", "feature_type", "extraction: {type: ALIKED_N32}", "matcher"])
def test_no_option_reaches_what_pycolmap_may_lack(key: str, tmp_path: Path) -> None:
    from lotus_recon.config import load_config
    from lotus_recon.recipes.config import MultiViewConfig

    file = tmp_path / "options.yaml"
    file.write_text(f"sfm: {{{key if '{' in key else f'{key}: ALIKED_LIGHTGLUE'}}}")
    with pytest.raises(InputError):
        load_config(MultiViewConfig, file)


def test_pillow_is_imported_before_pycolmap_everywhere() -> None:
    """The other way round, saving a PNG aborts the process ("double free")."""
    files = [path for folder in ("lotus_recon", "pipelines", "tests") for path in (ROOT / folder).rglob("*.py")]
    wrong = [str(path.relative_to(ROOT)) for path in files if not _pillow_first(ast.parse(path.read_text()))]
    assert not wrong
    assert not _pillow_first(ast.parse("import pycolmap\nimport PIL.Image"))
    assert not _pillow_first(ast.parse("def f():\n    import pycolmap"))


def _pillow_first(tree: ast.AST) -> bool:
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            package = name.split(".")[0]
            lines[package] = min(lines.get(package, node.lineno), node.lineno)  # type: ignore[attr-defined]
    return "pycolmap" not in lines or lines.get("PIL", 1 << 30) < lines["pycolmap"]


def test_the_set_up_installs_what_the_messages_name() -> None:
    listed = re.search(r"^LIBRARIES=\((.*)\)$", (ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)
    assert listed is not None
    installed = dict(entry.split(":") for entry in listed[1].split())
    assert installed == native.LIBRARIES["open3d"].shared_objects
    readme = (ROOT / "README.md").read_text()
    assert all(package in readme for package in installed.values())


def test_native_needs_the_standard_library_only() -> None:
    code = "import sys; before = {*sys.modules}; import lotus_recon.native; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded <= {*sys.stdlib_module_names, "lotus_recon"}


@pytest.mark.parametrize("kept", ["Infinity", "[]", "7"])
def test_what_is_kept_of_an_attempt_and_is_no_reason_counts_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(tmp_path))
    native.remember({"import": "sound"}, Outcome(None))
    monkeypatch.setattr(native, "_remembered", {})
    next(tmp_path.rglob("*.json")).write_text(f'{{"failure": {kept}}}')
    assert native.recall({"import": "sound"}) is None
