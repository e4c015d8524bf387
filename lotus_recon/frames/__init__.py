"""Photos from a video."""
