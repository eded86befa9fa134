"""Names that a parser can read, in the place of those that it may not.

OpenAI's names have letters, digits and ``_.:-``. Some of mlx-lm's parsers know letters, digits and
``_`` only, or would take the end of a name for the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from api.text.tool_calls.formats import any_of


class StandIns:
    """Stand-ins for the names of one request in one call's text, where a name stands."""

    def __init__(self, text: str, names: Iterable[str], place: tuple[str, str]) -> None:
        before, behind = place
        mark = "function"
        while mark in text:
            mark += "_"
        self._mark = mark
        self._names = list(names)
        index = {name: i for i, name in enumerate(self._names)}
        expression = f"{before}(?:{any_of(self._names)}){behind}"
        self.text = re.sub(expression, lambda match: f"{mark}{index[match[0]]}x", text)

    def restore(self, value: Any) -> Any:
        """Returns what was parsed, names and all, as it was written."""
        if isinstance(value, str):
            return re.sub(f"{self._mark}([0-9]+)x", lambda match: self._names[int(match[1])], value)
        if isinstance(value, dict):
            return {self.restore(key): self.restore(each) for key, each in value.items()}
        return [self.restore(each) for each in value] if isinstance(value, list) else value

    def name_of(self, stand_in: Any) -> str:
        """Raises ValueError for what is none: a name that the parser did not read as a whole."""
        name = self.restore(stand_in)
        if name == stand_in or name not in self._names:
            raise ValueError("no function's name")
        return str(name)
