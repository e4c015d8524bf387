"""Which numbers an option takes, from the ``annotated_types`` beside its type; in words and as an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt, Unit

LARGEST_INT = 2**31 - 1


@dataclass(frozen=True)
class Or:
    """A number that is allowed beside those within the limits, such as 0 for "as is"."""

    value: float


@dataclass(frozen=True)
class Limits:
    """Which numbers are allowed; ``low`` and ``high`` themselves only where they are not ``open``."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = True
    high_open: bool = True
    beside: tuple[float, ...] = ()

    @classmethod
    def of(cls, notes: Sequence[Any]) -> Limits | None:
        """Those that annotations state; None where they state none. ``Interval()`` states: every finite number."""
        stated: dict[str, Any] = {}
        for note in notes:
            if isinstance(note, Ge | Gt):
                low: Any = note.ge if isinstance(note, Ge) else note.gt
                stated |= {"low": low, "low_open": isinstance(note, Gt)}
            elif isinstance(note, Le | Lt):
                high: Any = note.le if isinstance(note, Le) else note.lt
                stated |= {"high": high, "high_open": isinstance(note, Lt)}
        if not stated and not any(isinstance(note, Interval) for note in notes):
            return None
        return cls(beside=tuple(note.value for note in notes if isinstance(note, Or)), **stated)

    def hold(self, value: float) -> bool:
        """Whether a number is allowed; NaN never is (it compares with nothing), nor infinity (an open limit)."""
        if value in self.beside:
            return True
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        return above and below

    @property
    def in_words(self) -> str:
        """``above 0 and below 180``; empty where every finite number is allowed."""
        low = f"above {_text(self.low)}" if self.low_open else f"{_text(self.low)} or more"
        high = f"below {_text(self.high)}" if self.high_open else f"at most {_text(self.high)}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            is_open = self.low_open or self.high_open
            within = f"{low} and {high}" if is_open else f"from {_text(self.low)} to {_text(self.high)}"
        else:
            within = low if math.isfinite(self.low) else high if math.isfinite(self.high) else ""
        return ", or ".join([within, *map(_text, self.beside)])

    @property
    def as_interval(self) -> str:
        """``(0, 180)``, ``[0, 1]``, ``> 0``, for help; empty where every finite number is allowed.

        That whole numbers are to fit the 32 bits of the C++ libraries is left out.
        """
        if math.isfinite(self.low) and self.high < LARGEST_INT:
            left, right = "[("[self.low_open], "])"[self.high_open]
            within = f"{left}{_text(self.low)}, {_text(self.high)}{right}"
        elif math.isfinite(self.low):
            within = f"{'>' if self.low_open else '>='} {_text(self.low)}"
        elif math.isfinite(self.high):
            within = f"{'<' if self.high_open else '<='} {_text(self.high)}"
        else:
            within = ""
        return " or ".join([within, *map(_text, self.beside)])


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


# Numbers that many options are.
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Edge = Annotated[int, Interval(ge=0, le=65_536), Unit("pixels")]  # of a photo or a map; 0 mostly means: as it is
FocalPx = Annotated[float, Interval(gt=0, le=1e8), Unit("pixels")]
Focal35mm = Annotated[float, Interval(ge=0.1, le=1e5), Unit("millimetres")]
FovDeg = Annotated[float, Interval(ge=0.01, le=179.9), Unit("degrees")]
GrazingAngle = Annotated[float, Interval(ge=0, lt=90), Unit("degrees")]
Many = Annotated[int, Interval(ge=1, le=LARGEST_INT)]
BatchSize = Annotated[int, Interval(ge=1, le=1024)]
Workers = Annotated[int, Interval(ge=1, le=4096)]
Seed = Annotated[int, Interval(ge=0, le=LARGEST_INT)]
# Whether networks run compiled by torch.compile.
CompileMode = Literal["auto", "on", "off"]
