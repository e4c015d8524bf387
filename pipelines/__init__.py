"""Command lines: python -m pipelines.NAME."""
