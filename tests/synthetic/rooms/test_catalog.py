"""What catalogs share."""

from __future__ import annotations

from lotus_recon.synthetic.rooms.catalog import BoundedCache


def test_a_cache_forgets_what_was_not_used_for_long() -> None:
    cache: BoundedCache[str, bytes] = BoundedCache(10, len)
    made: list[str] = []

    def entry(key: str) -> bytes:
        return cache.get(key, lambda: made.append(key) or bytes(4))  # type: ignore[func-returns-value]

    for key in ("a", "b", "a", "c", "a", "b"):
        entry(key)
    assert made == ["a", "b", "c", "b"]
