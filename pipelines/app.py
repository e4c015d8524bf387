"""python -m pipelines.app [FOLDER ...]"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from annotated_types import Interval, Unit

from lotus_recon.config import load_config, overlaid
from lotus_recon.errors import InputError
from lotus_recon.interruption import doing
from lotus_recon.models.config import PredictionConfig
from lotus_recon.options import Options
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.recipes.table import multi_view_config
from pipelines.command_line import CONFIG_FOLDER, DONE, PRESETS, main, on_screen, open_browser, program
from pipelines.parsing import parse_arguments

log = logging.getLogger("lotus_recon.app")


@dataclass(frozen=True)
class Arguments(Options):
    """An app in the browser: drop photos or a video into it, see the result in 3D, download it.

    Only programs of this machine can open it (127.0.0.1), and nothing leaves the machine. Ctrl+C ends it, and deletes
    what was uploaded and made: download what you want to keep.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = ()
    """Folders of finished results to browse in the tab Scenes."""
    model: str = PredictionConfig.model
    """As for pipelines.single_view and pipelines.multi_view."""
    device: str = "auto"
    """auto, cpu or cuda."""
    port: Annotated[int, Interval(ge=0, le=65_535)] = 7860
    """Port to listen at; 0: any free one."""
    max_photo_mb: Annotated[int, Interval(ge=1, le=10_000), Unit("megabytes")] = 100
    """Largest photo that is taken."""
    max_video_mb: Annotated[int, Interval(ge=1, le=100_000), Unit("megabytes")] = 2000
    """Largest video that is taken."""
    max_photos: Annotated[int, Interval(ge=2, le=100_000)] = 500
    """Most photos of one scene."""
    open: bool = True
    """Open the browser."""
    share: bool = False
    """Refused: nobody else can open the app."""
    quiet: bool = False
    """Show warnings and errors only."""
    verbose: bool = False
    """Show what every step does."""


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse_arguments(Arguments(), argv, program("app"))
    _check(arguments)
    configs = _configs(arguments)
    from lotus_recon.app.server import AppServer
    from lotus_recon.app.sessions import own_root
    from lotus_recon.app.uploads import Limits
    from lotus_recon.models.registry import check_model

    limits = Limits(arguments.max_photo_mb, arguments.max_video_mb, arguments.max_photos)
    with on_screen(arguments.quiet, arguments.verbose, bars=False), own_root() as root:
        check_model(arguments.model, arguments.device, "auto")
        try:
            server = AppServer(root, arguments.folders, configs, limits, arguments.port)
        except OSError as error:
            raise InputError(f"--port {arguments.port} cannot be used: {error.strerror}") from None
        with contextlib.closing(server), contextlib.suppress(KeyboardInterrupt):
            server.start()
            print(f"app:      {server.url}", flush=True)
            if arguments.open:
                open_browser(server.url)
            with doing("this request", "an empty app, since what was uploaded and made is deleted"):
                server.wait()
    return DONE


def _check(arguments: Arguments) -> None:
    """Raise InputError for what cannot be served."""
    if arguments.share:
        raise InputError("--share is refused: photos stay on this machine; to work from another one, use ssh -L")
    for folder in arguments.folders:
        if not folder.is_dir():
            raise InputError(f"{folder} does not exist" if not folder.exists() else f"{folder} is not a folder")
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise InputError("the app needs gradio: pip install 'lotus-recon[app]'")


def _configs(arguments: Arguments) -> Mapping[str, Mapping[str, Any]]:
    """The options of the pipelines, by kind and preset."""
    own = {"prediction": {"model": arguments.model}, "runtime": {"device": arguments.device}}
    kinds: dict[str, type[Any]] = {"single_view": SingleViewConfig, "multi_view": multi_view_config()}
    return {
        kind: {
            name: overlaid(load_config(config, CONFIG_FOLDER / kind / f"{name}.yaml"), own, "the command line")
            for name in PRESETS
        }
        for kind, config in kinds.items()
    }


if __name__ == "__main__":
    main(run)
