"""Readers of data sets, one file each, holding only its facts: what lies where, in which unit and which axes."""
