"""Options of the export."""

from __future__ import annotations

from dataclasses import dataclass

from lotus_recon.options import Options


@dataclass(frozen=True)
class ExportConfig(Options):
    """What other tools get."""

    # Also write export/<tool>/ for these: colmap,nerfstudio (docs/exports.md).
    export: str | None = None
