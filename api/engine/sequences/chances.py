"""How often a text's predictions come true, by how well they fit what stands before them."""

from __future__ import annotations

# Before anything is known of the text: for matches of 1 token, of 2 to 3, of 4 to 7, of 8 to 15 and of more.
_FIRST_CHANCES = (0.0, 0.3, 0.55, 0.8, 0.9)
_WEIGHT = 0.12  # of the newest prediction
_LEAST_CHANCE = 0.25  # of the next token: below it nothing is proposed
_LEAST_GAIN = 0.05  # what comes true less often is left out


class Chances:
    """How often one text's predictions came true lately, by the length of the match.

    Every token that is read tells, whether it had been proposed or not: a text without repeats is known as
    such before anything was tried on it.
    """

    def __init__(self, first_chances: tuple[float, ...] = _FIRST_CHANCES) -> None:
        """``first_chances``: of matches from 1, 2, 4, 8, ... tokens on."""
        self._chances = list(first_chances)

    def record(self, match_length: int, is_right: bool) -> None:
        index = self._class_of(match_length)
        self._chances[index] += _WEIGHT * (is_right - self._chances[index])

    def of(self, match_length: int) -> float:
        return self._chances[self._class_of(match_length)]

    def gains(self, match_length: int, num_tokens: int, *, is_behind: bool = False) -> list[float]:
        """The chance of each of the next tokens that it and all before it come true, falling.

        [] without a match, or where it is not to be trusted. ``is_behind``: the first prediction is for a
        token that is in flight, so the next one is for that behind it.
        """
        if not match_length or (chance := self.of(match_length)) < _LEAST_CHANCE:
            return []
        gains: list[float] = []
        chance, first = (chance, match_length + 1) if is_behind else (1.0, match_length)
        for length in range(first, first + num_tokens):
            chance *= self.of(length)
            if chance < _LEAST_GAIN:
                break
            gains.append(chance)
        return gains

    def _class_of(self, match_length: int) -> int:
        return min(match_length.bit_length(), len(self._chances)) - 1
