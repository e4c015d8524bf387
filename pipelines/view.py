"""python -m pipelines.view OUT"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Interval

from lotus_recon.errors import InputError
from lotus_recon.options import Options
from pipelines.command_line import DONE, main, on_screen, open_browser, program
from pipelines.parsing import parse_arguments


@dataclass(frozen=True)
class Arguments(Options):
    """Show the output folder of pipelines.multi_view in the browser, in 3D, also while a run is filling it.

    Only programs of this machine can open the page (127.0.0.1). Ctrl+C ends it.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = tyro.MISSING
    """Output folder, of a finished run or of one that is running."""
    port: Annotated[int, Interval(ge=0, le=65_535)] = 0
    """Port to listen at; 0: any free one."""
    size: Annotated[int, Interval(ge=1000, le=5_000_000)] = 200_000
    """Most triangles of the mesh that is shown, and most points."""
    open: bool = True
    """Open the browser."""
    quiet: bool = False
    """Show warnings and errors only."""
    verbose: bool = False
    """Show every request."""


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse_arguments(Arguments(), argv, program("view"))
    _check(arguments.folder)
    from lotus_recon.interruption import doing
    from lotus_recon.viewing.server import ViewServer

    with on_screen(arguments.quiet, arguments.verbose, bars=False):
        try:
            server = ViewServer(arguments.folder, arguments.port, arguments.size)
        except OSError as error:
            raise InputError(f"--port {arguments.port} cannot be used: {error.strerror}") from None
        with server, contextlib.suppress(KeyboardInterrupt), doing("the page in 3D", "it serves the page again"):
            print(f"view:     {server.url}", flush=True)
            if arguments.open:
                open_browser(server.url)
            server.serve_forever()
    return DONE


def _check(folder: Path) -> None:
    """Raise InputError for what is no output folder."""
    from lotus_recon.recipes.output_folder import owner_of
    from lotus_recon.workspace import OWNERS_FILE, Workspace

    if not folder.is_dir():
        raise InputError(f"{folder} does not exist" if not folder.exists() else f"{folder} is not a folder")
    photos = sorted(folder.glob("*/view.html"))  # a scene has its own in report/
    of_photos = bool(photos) and owner_of(folder, "scene") is None
    if of_photos or not ((folder / OWNERS_FILE).is_file() or Workspace(folder).config_file.is_file()):
        raise InputError(
            f"{folder} is not an output folder (--out) of pipelines.multi_view; pages of single photos are files: "
            f"open {photos[0] if photos else '<photo>/view.html'}"
        )


if __name__ == "__main__":
    main(run)
