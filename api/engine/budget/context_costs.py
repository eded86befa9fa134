"""What the tokens before a prompt row add to its cost, as attention over them does: learned as it goes."""

from __future__ import annotations

from dataclasses import dataclass

_WEIGHT = 0.05  # of the newest step
_LEAST_DIFFERENCE = 20.0  # in tokens of context: steps that differ by less say nothing
# A slope that explains half of what is seen is believed to 1 / (1 + this part): noise has slopes too.
_DOUBT = 0.5


@dataclass(slots=True)
class ContextCosts:
    """A slope of a row's seconds over its context, from steps that are compared with others of their size."""

    slope: float = 0.0  # seconds for each token before a row
    _context_variance: float = 0.0
    _seconds_variance: float = 0.0
    _covariance: float = 0.0

    def observe(self, off_context: float, off_seconds: float) -> None:
        """Takes how far a row of a step is from the mean of the steps of its size."""
        if abs(off_context) < _LEAST_DIFFERENCE:
            return
        self._context_variance += _WEIGHT * (off_context**2 - self._context_variance)
        self._seconds_variance += _WEIGHT * (off_seconds**2 - self._seconds_variance)
        self._covariance += _WEIGHT * (off_context * off_seconds - self._covariance)
        self.slope = self._likely_slope()

    def _likely_slope(self) -> float:
        if self._covariance <= 0:
            return 0.0
        slope = self._covariance / self._context_variance
        explained = min(1.0, slope * self._covariance / self._seconds_variance)
        return slope * explained / (explained + _DOUBT * (1 - explained))
