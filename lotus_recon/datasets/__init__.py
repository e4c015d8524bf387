"""Readers of data sets, one file each, which holds only its layout, units and axes."""
