"""Benchmark sets as the field distributes them: photos with ground truth that is scored, never trained on."""
