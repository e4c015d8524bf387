"""Procedural scenes with exact ground truth: shapes, textures, arrangements, a ray-casting renderer."""
