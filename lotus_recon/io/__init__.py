"""Files in and out: images (the only reader), maps, meshes, cameras."""
