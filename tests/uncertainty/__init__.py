"""Tests of lotus_recon.uncertainty."""
