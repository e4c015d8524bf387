"""Textures from photos: which photo colours which triangle, the atlas, and textured files."""
