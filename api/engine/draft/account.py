"""Whether drafting has paid, by what came of it."""

from __future__ import annotations

_TRIED_SHARE = 0.01  # of plain steps
_MOST_STEPS = 10.0  # that are remembered, either way
_FIRST_STEPS = 5.0  # so that it is tried once at the beginning


class Account:
    """Counts in plain steps, whatever the number of sequences: what drafting has saved, less what it took.

    Whatever is expected of drafts, they rest when they have lost too much, until plain steps have made up
    for it: each one gives a small part of itself for drafts to be tried again.
    """

    def __init__(self) -> None:
        self.num_steps = _FIRST_STEPS
        self._num_decoding = 1  # of the newest draft
        self._is_resting = False

    @property
    def allows_drafts(self) -> bool:
        return not self._is_resting

    def stepped(self) -> None:
        """A plain step, or one that verified what a text said."""
        self._add(_TRIED_SHARE)

    def drafted(self, slowdown: float, num_decoding: int) -> None:
        """A step that took as long as so many plain ones."""
        self._num_decoding = num_decoding
        self._add(1 - slowdown)

    def spent(self, num_steps: float) -> None:
        """On what is of use to nobody but a trial."""
        self._add(-num_steps)

    def gained_token(self) -> None:
        """One more than plain steps would have given by now, of the newest draft."""
        self._add(1 / self._num_decoding)

    def _add(self, num_steps: float) -> None:
        self.num_steps = min(_MOST_STEPS, self.num_steps + num_steps)
        if self.num_steps < -_MOST_STEPS:
            self._is_resting = True
        elif self.num_steps >= 0:
            self._is_resting = False
