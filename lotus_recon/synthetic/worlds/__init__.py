"""Worlds to learn from beside rooms: streets and landscapes, objects close by, people and animals."""
