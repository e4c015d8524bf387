"""The page of the app, in gradio: three tabs whose handlers are those of ``desk``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from lotus_recon.app import parts
from lotus_recon.app.desk import PHOTO, PRESETS, SCENE, Desk, Shown
from lotus_recon.app.sessions import Session
from lotus_recon.app.uploads import PHOTOS, VIDEOS

_HEAD = "<div class='lr-head'><h1>lotus-recon</h1><p>Photos to geometry. Everything stays on this machine.</p></div>"
_ENDED = "this session has ended: reload the page"
SessionOf = Callable[[str], Session | None]


def theme() -> gr.themes.Base:
    """Colours and fonts; the fonts are those of the machine, because others would be fetched."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    return gr.themes.Default(
        primary_hue="sky",
        neutral_hue="slate",
        font=fonts,
        font_mono=["ui-monospace", "Consolas", "monospace"],
        radius_size="lg",
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
    )


def build(desk: Desk, session_of: SessionOf) -> gr.Blocks:
    """The page. ``session_of`` takes the header Cookie of a request."""
    with gr.Blocks(title="lotus-recon", analytics_enabled=False) as blocks:
        gr.HTML(_HEAD)
        with gr.Tabs():
            with gr.Tab("One photo", id="photo"):
                _photo_tab(blocks, desk, session_of)
            with gr.Tab("Many photos or a video", id="scene"):
                _scene_tab(blocks, desk, session_of)
            with gr.Tab("Scenes", id="scenes") as tab:
                _library_tab(blocks, tab, desk, session_of)
        blocks.unload(lambda: None)  # with it, gradio's page holds a connection that says that the tab is open
    return blocks


@dataclass(frozen=True)
class _Panel:
    """The controls that both tabs with runs have."""

    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    view: gr.HTML
    results: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.start, self.stop, self.status, self.view, self.results]

    def updates(self, shown: Shown) -> tuple[Any, ...]:
        """What gradio changes for this."""
        buttons = (
            (gr.skip(), gr.skip())
            if shown.busy is None
            else (gr.update(interactive=not shown.busy), gr.update(interactive=shown.busy))
        )
        texts = (gr.skip() if text is None else text for text in (shown.status, shown.view, shown.results))
        return (*buttons, *texts)


def _photo_tab(blocks: gr.Blocks, desk: Desk, session_of: SessionOf) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            file = gr.File(label="Photo", file_types=list(PHOTOS), height=170, elem_id="photo-file")
            preset = _preset()
            fov = gr.Textbox(
                label="Horizontal field of view",
                info="In degrees, if you know it; else it is read from the photo or estimated.",
                placeholder="estimated",
                max_lines=1,
                max_length=12,
                elem_id="photo-fov",
            )
            buttons = _buttons(PHOTO)
        panel = _Panel(*buttons, *_results(PHOTO))

    def start(file: str | None, preset: str, fov: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        def begin(session: Session) -> Iterator[Shown]:
            return desk.photo(session, _paths(file), preset, fov)

        yield from _shown(panel, session_of, request, begin)

    _connect(blocks, desk, session_of, PHOTO, panel, start, [file, preset, fov])


def _scene_tab(blocks: gr.Blocks, desk: Desk, session_of: SessionOf) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            files = gr.File(
                label="Photos of one place, or a video",
                file_count="multiple",
                file_types=[*PHOTOS, *VIDEOS],
                height=170,
                elem_id="scene-file",
            )
            name = gr.Textbox(label="Name", value="My scene", max_lines=1, max_length=100, elem_id="multi_view-name")
            preset = _preset()
            buttons = _buttons(SCENE)
        panel = _Panel(*buttons, *_results(SCENE))

    def start(files: list[str] | None, name: str, preset: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        def begin(session: Session) -> Iterator[Shown]:
            return desk.scene(session, _paths(files), preset, name)

        yield from _shown(panel, session_of, request, begin)

    _connect(blocks, desk, session_of, SCENE, panel, start, [files, name, preset])


def _library_tab(blocks: gr.Blocks, tab: gr.Tab, desk: Desk, session_of: SessionOf) -> None:
    cards = gr.HTML(elem_id="library")
    refresh = gr.Button("Look again", size="sm")

    def look(request: gr.Request) -> str:
        session = session_of(_cookies(request))
        return parts.library(desk.library, session) if session is not None else parts.refused(_ENDED)

    for event in (tab.select, refresh.click, blocks.load):
        event(look, outputs=cards, show_progress="hidden", api_visibility="private", queue=False)


def _preset() -> gr.Radio:
    return gr.Radio(list(PRESETS), value="default", label="Detail", info="fast: a quick look; fine: takes longest")


def _buttons(kind: str) -> tuple[gr.Button, gr.Button, gr.HTML]:
    """What starts and ends a run, and says how it is going."""
    with gr.Row():
        start = gr.Button("Reconstruct", variant="primary", min_width=140, elem_id=f"{kind}-start")
        stop = gr.Button("Cancel", interactive=False, min_width=90, elem_id=f"{kind}-stop")
    return start, stop, gr.HTML(elem_id=f"{kind}-status")


def _results(kind: str) -> tuple[gr.HTML, gr.HTML]:
    """A column with the page in 3D, and what is below it."""
    with gr.Column(scale=3, min_width=420):
        return gr.HTML(elem_id=f"{kind}-view"), gr.HTML(elem_id=f"{kind}-results")


def _connect(
    blocks: gr.Blocks,
    desk: Desk,
    session_of: SessionOf,
    kind: str,
    panel: _Panel,
    start: Callable[..., Iterator[tuple[Any, ...]]],
    inputs: Sequence[Any],
) -> None:
    """Say what the buttons of a panel do. Many may follow runs at once; the line serves one."""

    def resume(request: gr.Request) -> Iterator[tuple[Any, ...]]:
        for shown in desk.resumed(session_of(_cookies(request)), kind):
            yield panel.updates(shown)

    def cancel(request: gr.Request) -> None:
        session = session_of(_cookies(request))
        if session is not None:
            desk.cancel(session, kind)

    following: dict[str, Any] = {"outputs": panel.outputs, "show_progress": "hidden", "concurrency_limit": None}
    panel.start.click(start, inputs=list(inputs), api_visibility="private", **following)
    panel.stop.click(cancel, queue=False, show_progress="hidden", api_visibility="private")
    blocks.load(resume, api_visibility="private", **following)


def _shown(
    panel: _Panel, session_of: SessionOf, request: gr.Request, begin: Callable[[Session], Iterator[Shown]]
) -> Iterator[tuple[Any, ...]]:
    session = session_of(_cookies(request))
    if session is None:
        yield panel.updates(Shown(busy=False, status=parts.refused(_ENDED)))
        return
    for shown in begin(session):
        yield panel.updates(shown)


def _cookies(request: gr.Request) -> str:
    """The header Cookie of a request."""
    return str(dict(request.headers).get("cookie", ""))


def _paths(files: str | Sequence[str] | None) -> list[Path]:
    return [Path(file) for file in ([files] if isinstance(files, str) else files or [])]
