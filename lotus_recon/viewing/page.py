"""The page: one HTML file with its style, script and data inside. It asks for nothing from anywhere."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lotus_recon.viewing.content import Content, Shown, content_of
from lotus_recon.workspace import write_atomically

LAYERS = ("colour", "grey", "normals", "height", "confidence", "error")
_PACKAGE = "lotus_recon.viewing"


def write_page(shown: Shown, path: Path, report: str | None = None) -> None:
    """Write the page by rename; ``report`` is an address that it links to. Raises InputError for unreadable files."""
    html = html_of(content_of(shown), report)
    write_atomically(path, lambda part: part.write_text(html, encoding="utf-8"))


def html_of(content: Content, report: str | None = None, inside: bool = True) -> str:
    """The page of ``content``, with its parts ``inside``, or left to a server; ``report``: where a link leads to.

    Raises the errors of the parts.
    """
    script = viewer_script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # No other script runs, and nothing is loaded but from the page itself (or, live, from its own server).
    own = "" if inside else " 'self'"
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"img-src data: blob:{own}; connect-src data: blob:{own}; base-uri 'none'; form-action 'none'"
    )
    return _template().render(
        title=content.manifest["title"],
        policy=policy,
        style=Markup(_text("templates/view.css")),
        layers=LAYERS,
        report=report,
        manifest=Markup(_json(content.manifest)),
        parts=[_embedded(name, content) for name in content.parts] if inside else [],
        script=Markup(script),
    )


@lru_cache(maxsize=1)
def viewer_script() -> str:
    """What scripts/bundle_viewer.sh made of page/*.js and three.js."""
    return _text("bundle/viewer.js")


def _text(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _template() -> Any:
    loader = PackageLoader(_PACKAGE)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template(
        "view.html"
    )


def _json(value: Any) -> str:
    """JSON that can stand in a script element: no character of it begins or ends markup."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _embedded(name: str, content: Content) -> dict[str, Any]:
    part = content.parts[name]
    data = part.make()
    packed = data if part.is_packed else gzip.compress(data, 6, mtime=0)
    return {
        "name": name,
        "media": part.media,
        "gzip": not part.is_packed,
        "base64": base64.b64encode(packed).decode(),
    }
