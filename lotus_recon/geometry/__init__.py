"""Pure functions on arrays: cameras, poses, depth, normals and their agreement between views."""
