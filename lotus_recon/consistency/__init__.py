"""Drops depth that other views contradict, and says how far the rest can be trusted."""
