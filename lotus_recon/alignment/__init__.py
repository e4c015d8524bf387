"""Brings predicted depth maps to the scale of the scene: fit to sparse points, agreement of views, local correction."""
