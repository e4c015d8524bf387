"""What the app does when a button is pressed, without a word of gradio: runs are made, followed and shown."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lotus_recon.app import parts
from lotus_recon.app.library import Library
from lotus_recon.app.routes import address
from lotus_recon.app.runs import Line, Run
from lotus_recon.app.sessions import Session
from lotus_recon.app.uploads import Limits, take_photo, take_scene
from lotus_recon.config import overlaid
from lotus_recon.errors import InputError
from lotus_recon.runners.jobs import SceneJob, check_name
from lotus_recon.workspace import OWNERS_FILE

PHOTO, SCENE = "single_view", "multi_view"
PRESETS = ("fast", "default", "fine")

_LOOK_S = 0.4  # between two looks at a run
_EMPTY = {
    PHOTO: "Depth, normals, a camera and a mesh of your photo will be here, in 3D.",
    SCENE: "Cameras, points and the mesh will appear here while they are being made.",
}
_MOST_WAITING = 3  # runs of one session


@dataclass(frozen=True)
class Shown:
    """What a tab shows. None: as before."""

    busy: bool | None = None
    status: str | None = None
    view: str | None = None
    results: str | None = None


@dataclass(frozen=True)
class Desk:
    """What the handlers of the page share. ``configs``: by kind of run and preset."""

    line: Line
    library: Library
    configs: Mapping[str, Mapping[str, Any]]
    limits: Limits

    def photo(self, session: Session, files: Sequence[Path], preset: str, fov_deg: str) -> Iterator[Shown]:
        """Run ``single_view`` on an uploaded photo, and show how it goes."""

        def job(given: Path) -> SceneJob:
            path = take_photo(files, given, self.limits)
            config = self._config(PHOTO, preset)
            if fov_deg.strip():
                config = overlaid(config, {"camera": {"fov_deg": _number(fov_deg)}}, "field of view")
            return SceneJob("photo", PHOTO, config, images=(str(path),))

        return self._started(session, files, "photo", job)

    def scene(self, session: Session, files: Sequence[Path], preset: str, name: str) -> Iterator[Shown]:
        """Run ``multi_view`` on uploaded photos or a video, and show how it goes."""

        def job(given: Path) -> SceneJob:
            source = take_scene(files, given, self.limits)
            config = self._config(SCENE, preset)
            if source.is_dir():
                return SceneJob("scene", SCENE, config, images=(str(source),))
            return SceneJob("scene", SCENE, config, video=source)

        return self._started(session, files, name.strip() or "My scene", job)

    def _config(self, kind: str, preset: str) -> Any:
        if preset not in self.configs[kind]:
            raise InputError(f"detail {preset!r}: allowed are {', '.join(self.configs[kind])}")
        return self.configs[kind][preset]

    def _started(
        self, session: Session, files: Sequence[Path], name: str, job: Callable[[Path], SceneJob]
    ) -> Iterator[Shown]:
        try:
            run = self._run(session, files, name, job)
        except InputError as error:
            yield Shown(busy=False, status=parts.refused(str(error)))
            return
        self.line.add(run)
        yield from self.follow(session, run)

    def _run(self, session: Session, files: Sequence[Path], name: str, job: Callable[[Path], SceneJob]) -> Run:
        check_name(name)
        if not all(file in session.uploads for file in files):
            raise InputError("a file is not of this session (any more): drop it again")
        if sum(not run.is_over for run in session.runs.values()) >= _MOST_WAITING:
            raise InputError(f"{_MOST_WAITING} runs of this session are waiting or running already")
        folder = session.new_folder()
        given = folder / name
        made = job(given)
        title = files[0].name if made.kind == PHOTO or made.video else name
        run = Run(made, folder / "results" / name, title, given)
        session.runs[secrets.token_hex(8)] = run
        return run

    def resumed(self, session: Session | None, kind: str) -> Iterator[Shown]:
        """What a tab shows when the page is opened, or opened again during a run."""
        run = session.last_run(kind) if session is not None else None
        if session is None or run is None:
            yield Shown(busy=False, status="", view=parts.empty(_EMPTY[kind]), results="")
        else:
            yield from self.follow(session, run)

    def follow(self, session: Session, run: Run) -> Iterator[Shown]:
        """How a run is going, until it is over."""
        key = next(key for key, known in session.runs.items() if known is run)
        kind = run.job.kind
        shown = Shown(busy=True, status=parts.status(run), view=parts.empty(_EMPTY[kind]), results="")
        yield shown
        in_frame = False
        while not run.ended.wait(_LOOK_S):
            now = Shown(status=parts.status(run))
            if kind == SCENE and not in_frame and (run.folder / OWNERS_FILE).is_file():
                in_frame = True
                now = replace(now, view=self._live(session, key, run.title))
            if now != replace(shown, busy=None, view=None, results=None):
                yield now
                shown = now
        yield self._end(session, key, run, in_frame)

    def _live(self, session: Session, key: str, title: str) -> str:
        place = self.library.find(session, key)
        return parts.frame(address(place, "page"), title) if place is not None else ""

    def _end(self, session: Session, key: str, run: Run, in_frame: bool) -> Shown:
        over = Shown(busy=False, status=parts.status(run))
        place = self.library.find(session, key)
        if run.state != "done" or place is None:
            return replace(over, view=parts.empty(_EMPTY[run.job.kind]))
        if run.job.kind == SCENE:
            view = None if in_frame else self._live(session, key, run.title)
            return replace(over, view=view, results=parts.scene(place))
        result = place.photos[0]
        view = parts.frame(address(place, "files", f"{result.stem}/view.html"), run.title)
        return replace(over, view=view, results=parts.photo(place, result))

    def cancel(self, session: Session, kind: str) -> None:
        """End the runs of a tab."""
        for run in session.runs.values():
            if run.job.kind == kind:
                run.cancel()


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise InputError(f"field of view {text!r} is not a number of degrees") from None
