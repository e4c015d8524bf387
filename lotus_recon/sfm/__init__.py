"""Structure from motion with pycolmap: cameras, poses and sparse points from photos; undistortion."""
