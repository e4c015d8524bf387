"""Pages for people: what they link to is there, and so are the commands and options that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "lotus_recon").rglob("*.md")]


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        is_outside = link.startswith(("http:", "https:"))
        if not is_outside and (not target.exists() or (anchor and anchor not in headings(target))):
            broken.append(link)
    assert broken == []


EVERYWHERE = {"--help", "--help-all", "--version"}
# One option wherever it is named; what follows a name of Python's or of another tool is not ours.
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def options_of_pipelines() -> dict[str, set[str]]:
    """From docs/options.md, which is computed: pipeline (or evaluation with its task) -> its options."""
    sections = re.split(r"^## ", (ROOT / "docs/options.md").read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        names = set(re.findall(r"^\| `(--[^ `]+)", section, re.MULTILINE))
        no = {name.replace("--[no-]", "--no-") for name in names}
        found[section.partition("\n")[0]] = {name.replace("--[no-]", "--") for name in names} | no
    return found


def commands_of(page: Path) -> list[str]:
    """What a page asks the reader to type that begins with a pipeline, comments and continued lines joined."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    begin = r"(?:python -m pipelines\.|lotus-recon )\w+"
    return [line.partition(" #")[0] for line in re.findall(rf"{begin}[^`\n]*", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_their_options_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("it speaks of the past, too")
    known, unknown = options_of_pipelines(), []
    for command in commands_of(page):
        first, *others = command.removeprefix("python -m pipelines.").removeprefix("lotus-recon ").split()
        for word in first.split("|"):
            name = COMMANDS.get(word, (word,))[0]
            task = f"{name} {others[0]}" if others and f"{name} {others[0]}" in known else name
            allowed = known.get(task, set()) | EVERYWHERE
            if not (ROOT / f"pipelines/{name}.py").is_file():
                unknown.append(command)
            elif task in known:
                unknown += [f"{option} in: {command}" for option in OPTION.findall(command) if option not in allowed]
    assert unknown == []


@pytest.mark.parametrize(
    "page", ["troubleshooting.md", "getting_started.md", "hardware.md", "usage.md", "viewing.md", "models.md"]
)
def test_options_that_pages_for_newcomers_name_exist(page: str) -> None:
    known = set().union(*options_of_pipelines().values()) | EVERYWHERE
    assert [name for name in OPTION.findall((ROOT / "docs" / page).read_text()) if name not in known] == []
