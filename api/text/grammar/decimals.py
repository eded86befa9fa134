r"""Pydantic's patterns for ``Decimal``, which no automaton holds as they stand, in a form that one does.

They begin with a look-ahead that forbids an answer without digits, and may bound the digits in all by
another one. What is returned here allows a part of the same texts: every digit text that a person would
write, without trailing zeros beyond the bounds.
"""

from __future__ import annotations

import re

_HEAD = re.escape(r"(?!^[-+.]*$)[+-]?0*")
_DECIMAL = re.compile(
    rf"\^?{_HEAD}(?:"
    r"(?P<plain>\\d\*\\\.\?\\d\*)"
    r"|\\d\*\\\.\?\\d\{0,(?P<places>\d{1,3})\}0\*"
    r"|\(\?:\\d\{0,(?P<whole>\d{1,3})\}\|\(\?=\[\\d\.\]\{1,(?P<all>\d{1,3})\}0\*\$\)"
    r"\\d(?:\*|\{0,\d{1,3}\})\\\.\\d(?:\*|\{0,(?P<fraction>\d{1,3})\})0\*\$\)"
    r")\$?"
)
_MAX_ALTERNATIVES = 40
_SIGN = "[+-]?"


def decimal_pattern(pattern: str) -> str | None:
    """Returns the anchored expression, or None for a pattern that is none of pydantic's for decimals."""
    match = _DECIMAL.fullmatch(pattern)
    if match is None:
        return None
    if match["plain"]:
        body = _number(None, None)
    elif match["places"]:
        body = _number(None, int(match["places"]))
    elif match["fraction"]:
        body = _number(int(match["whole"]), int(match["fraction"]))
    else:
        body = _of_digits(int(match["whole"]))
    return f"^{_SIGN}(?:{body})$"


def _number(max_whole: int | None, max_fraction: int | None) -> str:
    """Digits before the point and behind it, each with a bound or none."""
    whole = "[0-9]+" if max_whole is None else f"[0-9]{{1,{max_whole}}}" if max_whole else "0"
    if max_fraction == 0:
        return whole
    fraction = "[0-9]+" if max_fraction is None else f"[0-9]{{1,{max_fraction}}}"
    return rf"{whole}(?:\.{fraction})?|\.{fraction}"


def _of_digits(max_digits: int) -> str:
    """So many digits in all, wherever the point is."""
    if max_digits > _MAX_ALTERNATIVES:
        return f"[0-9]{{1,{max_digits}}}"
    with_point = (rf"[0-9]{{{n}}}\.[0-9]{{1,{max_digits - n}}}" for n in range(max_digits))
    return "|".join([f"[0-9]{{1,{max_digits}}}", *with_point])
