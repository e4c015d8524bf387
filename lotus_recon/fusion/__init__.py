"""Aligned depth maps of many views to one mesh."""
