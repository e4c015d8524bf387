"""Depth of every frame of a video, steady over time."""
