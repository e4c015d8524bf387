"""nano: the project's own small one-step estimator. Depth, normals and the image itself from one network."""
