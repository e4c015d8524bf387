"""Photos in, geometry out: 3D reconstruction with single-step diffusion geometry (Lotus)."""

__version__ = "0.1.0"
