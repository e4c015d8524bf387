"""``--fusion normal``: the same volume, of depth maps whose small shapes come from the predicted normals."""

from __future__ import annotations

from lotus_recon.fusion.backends.base import Backend
from lotus_recon.fusion.backends.tsdf import fuse
from lotus_recon.normal_integration.spec import INTEGRATION

NORMAL = Backend("normal", "depth maps whose small shapes come from the normals", fuse, requires=(INTEGRATION,))
