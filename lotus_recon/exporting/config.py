"""Options of the export."""

from __future__ import annotations

from dataclasses import dataclass

from lotus_recon.options import Options


@dataclass(frozen=True)
class ExportConfig(Options):
    """What other tools get."""

    # Write the scene for other tools into export/<tool>/, such as colmap,nerfstudio; docs/exports.md lists them. None:
    # for none.
    export: str | None = None
