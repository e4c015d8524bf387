"""Drops depth that other views contradict, and gives the rest a confidence."""
