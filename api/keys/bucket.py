"""So much a minute: an amount that is used up and comes back evenly."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]  # seconds

_MINUTE_SECONDS = 60.0
_ROUNDING = 1e-6  # who comes back when told to is not sent away for a last bit


class Bucket:
    """Full at first. What costs more than is there leaves a debt, which is waited for as well."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = float(per_minute)
        self._refilled_seconds = clock()

    @property
    def level(self) -> float:
        now_seconds = self._clock()
        gained = (now_seconds - self._refilled_seconds) * self.per_minute / _MINUTE_SECONDS
        self._refilled_seconds = now_seconds
        self._level = min(self._level + gained, float(self.per_minute))
        return self._level

    def take(self, amount: int) -> None:
        """``amount`` below 0 gives back."""
        self._level = self.level - amount

    def seconds_until(self, amount: float) -> float:
        """Until so much is there; 0 if it is."""
        missing = amount - self.level
        return missing * _MINUTE_SECONDS / self.per_minute if missing > _ROUNDING else 0.0
