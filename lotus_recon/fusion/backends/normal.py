"""``--fusion normal``: the same volume, of depth maps whose small shapes come from the predicted normals."""

from __future__ import annotations

from dataclasses import replace

from lotus_recon.fusion.backends.tsdf import TSDF
from lotus_recon.normal_integration.spec import INTEGRATION

NORMAL = replace(
    TSDF, name="normal", summary="depth maps whose small shapes come from the normals", requires=(INTEGRATION,)
)
