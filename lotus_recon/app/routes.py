"""Results over the web: the live page of a scene, files of its folder, and all of it as one ZIP file."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from lotus_recon.app.library import Library, Place
from lotus_recon.app.sessions import Session
from lotus_recon.viewing.serving import file_below, media_of


def result_routes(library: Library, session_of: Callable[[str], Session | None]) -> list[Route]:
    """The routes below ``/results/<key>/``; a session gets its own results and the shared ones."""

    def found(request: Request) -> tuple[Session, Place] | None:
        session = session_of(request.headers.get("cookie", ""))
        place = library.find(session, request.path_params["key"]) if session is not None else None
        return None if session is None or place is None else (session, place)

    def page(request: Request) -> Response:
        entry = found(request)
        if entry is None:
            return _not_found()
        answer = entry[1].page.answer(f"/{request.path_params['path']}")
        return Response(answer.body, int(answer.status), media_type=answer.media)

    def file(request: Request) -> Response:
        entry = found(request)
        path = request.path_params["path"]
        file = file_below(entry[1].folder, path) if entry is not None else None
        if file is None:
            return _not_found()
        kind = "attachment" if "download" in request.query_params else "inline"
        return FileResponse(file, media_type=media_of(path), filename=file.name, content_disposition_type=kind)

    def archive(request: Request) -> Response:
        entry = found(request)
        if entry is None:
            return _not_found()
        session, place = entry
        path = place.archive(session.folder)
        return FileResponse(path, media_type="application/zip", filename=f"{place.download_name}.zip")

    return [
        Route("/results/{key}/all.zip", archive),
        Route("/results/{key}/page/{path:path}", page),
        Route("/results/{key}/files/{path:path}", file),
    ]


def _not_found() -> Response:
    return Response("there is no such thing in this session\n", 404, media_type="text/plain")


def address(place: Place, what: str, path: str = "") -> str:
    """Where a ``page``, or one of the ``files``, of a place is; for no ``what``, all of it as a ZIP file."""
    return f"/results/{place.key}/{what}/{quote(path)}" if what else f"/results/{place.key}/all.zip"
