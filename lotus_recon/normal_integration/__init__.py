"""Depth maps whose small shapes come from the predicted normals, and the depth consensus of overlapping views."""
