"""How long a connection may keep the server waiting, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# A body that comes more slowly than this is a way to hold connections, not to send a body.
_MIN_BODY_BYTES_PER_SECOND = 500


class Awaited(Enum):
    """What has to happen next on a connection."""

    FIRST_BYTE = "a first byte"
    HEAD = "the end of the headers"
    BODY = "the body"
    ANSWER = "the answer"  # the server's turn
    NEXT_REQUEST = "the next request"


@dataclass(slots=True)
class Progress:
    """When a connection's client did something last; all times are the event loop's seconds."""

    last_seconds: float
    body_started_seconds: float = 0.0
    num_body_bytes: int = 0
    unsent_bytes: int = 0  # at the last look
    unsent_seconds: float = 0.0  # when they last became fewer

    def body_begins(self, now_seconds: float) -> None:
        self.last_seconds = self.body_started_seconds = now_seconds
        self.num_body_bytes = 0

    def body_continues(self, num_bytes: int, now_seconds: float) -> None:
        self.last_seconds = now_seconds
        self.num_body_bytes += num_bytes

    def look_at_unsent(self, num_bytes: int, now_seconds: float) -> float:
        """Returns for how long the client has taken nothing of what waits for it."""
        if num_bytes == 0 or num_bytes < self.unsent_bytes or self.unsent_bytes == 0:
            self.unsent_seconds = now_seconds
        self.unsent_bytes = num_bytes
        return now_seconds - self.unsent_seconds


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits in seconds."""

    idle_read_seconds: float
    idle_connection_seconds: float

    def is_over(self, awaited: Awaited, progress: Progress, now_seconds: float) -> bool:
        waited_seconds = now_seconds - progress.last_seconds
        match awaited:
            case Awaited.FIRST_BYTE | Awaited.HEAD:
                return waited_seconds > self.idle_read_seconds
            case Awaited.BODY:
                return waited_seconds > self.idle_read_seconds or self._trickles(progress, now_seconds)
            case Awaited.NEXT_REQUEST:
                return waited_seconds > self.idle_connection_seconds
            case Awaited.ANSWER:
                return False

    def _trickles(self, progress: Progress, now_seconds: float) -> bool:
        earned_seconds = progress.num_body_bytes / _MIN_BODY_BYTES_PER_SECOND
        return now_seconds - progress.body_started_seconds > self.idle_read_seconds + earned_seconds
