"""Meshes: cleaning, normal-guided refinement, and the mesh of a single depth map."""
