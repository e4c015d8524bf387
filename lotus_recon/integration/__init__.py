"""Normal maps to surfaces: ``integrate_normals`` finds the depth that has the given normals and its jumps."""

from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.integration.integrate import integrate_normals
from lotus_recon.integration.result import IntegrationResult

__all__ = ["IntegrationConfig", "IntegrationResult", "integrate_normals"]
