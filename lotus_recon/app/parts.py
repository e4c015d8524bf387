"""The HTML of the app beside gradio's controls, from ``templates/parts.html``."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lotus_recon.app.library import Library, PhotoResult, Place
from lotus_recon.app.routes import address
from lotus_recon.app.runs import Run
from lotus_recon.app.sessions import Session
from lotus_recon.progress import duration

_PACKAGE = "lotus_recon.app"


def style() -> str:
    """The style sheet of the parts."""
    return resources.files(_PACKAGE).joinpath("templates/app.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _macros() -> Any:
    environment = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals |= {"address": address, "duration": duration}
    return environment.get_template("parts.html").module


def empty(text: str) -> str:
    """What stands where results will be."""
    return str(_macros().empty(text))


def status(run: Run) -> str:
    """How a run is going."""
    return str(_macros().status(run, run.seconds_left() if run.state == "running" else None))


def refused(message: str) -> str:
    """Why a run was not started."""
    return str(_macros().refused(message))


def frame(source: str, title: str) -> str:
    """A page of the app's own server in a frame."""
    return str(_macros().frame(source, title))


def photo(place: Place, result: PhotoResult) -> str:
    """Maps, camera and files of a photo."""
    return str(_macros().photo(place, result))


def scene(place: Place) -> str:
    """What the report says of a scene, and its files."""
    from lotus_recon.reporting.quality import sentences

    report = place.report
    return str(_macros().scene(place, sentences(report) if report else []))


def library(own: Library, session: Session) -> str:
    """All results that a session may see."""
    named: dict[Path, list[Place]] = {folder: [] for folder in own.folders}
    for place in own.named():
        folder = next(folder for folder in own.folders if place.folder.is_relative_to(folder))
        named[folder].append(place)
    return str(_macros().library(own.of_session(session), named, own.folders))
