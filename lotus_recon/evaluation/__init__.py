"""Scores against ground truth: depth, normals, meshes, poses."""
