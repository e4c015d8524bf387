"""Furnished rooms with exact ground truth, to train and to test on."""
