"""The camera of a single photo, from its predicted depth and normals."""
