"""What was read of the last few views."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from lotus_recon.types import View

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """``recent(view)``: what ``read`` makes of a view; that of the ``kept`` views used last is kept in memory."""

    def __init__(self, read: Callable[[View], Value], kept: int) -> None:
        self._read, self._kept = read, kept
        self._values: OrderedDict[str, Value] = OrderedDict()

    def __call__(self, view: View) -> Value:
        """The value of a view. Raises what ``read`` raises."""
        if view.name not in self._values:
            self._values[view.name] = self._read(view)
            while len(self._values) > self._kept:
                self._values.popitem(last=False)
        self._values.move_to_end(view.name)
        return self._values[view.name]
