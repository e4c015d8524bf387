"""One thread, and a cache of its own: as for the tests of models."""

from tests.models.conftest import one_thread, own_cache

__all__ = ["one_thread", "own_cache"]
