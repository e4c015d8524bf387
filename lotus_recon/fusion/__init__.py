"""Depth maps to surface: fusion of many views (``stage``) and the surface of one map (``depth_surface``)."""
