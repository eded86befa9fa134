"""What the holder of a key has used, measured against its limits.

It counts on the event loop; limits may be set on another thread meanwhile.
"""

from __future__ import annotations

import math
import time

from api.errors import RateLimitError
from api.keys.bucket import Bucket, Clock
from api.keys.key import KeyLimits


class Meter:
    """Counts requests, those that run, and tokens.

    Tokens are counted as they come: a request is let in while any are left, and may leave a debt. So the
    rate holds on average, and nobody has to guess how long an answer will be.
    """

    def __init__(self, limits: KeyLimits, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._num_running = 0
        self._concurrent_requests: int | None = None
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self.set_limits(limits)

    def set_limits(self, limits: KeyLimits) -> None:
        """What has been used stays used, where the limit stays the same."""
        self._concurrent_requests = limits.concurrent_requests
        self._requests = self._bucket(limits.requests_per_minute, self._requests)
        self._tokens = self._bucket(limits.tokens_per_minute, self._tokens)

    def _bucket(self, per_minute: int | None, before: Bucket | None) -> Bucket | None:
        if per_minute is None or (before is not None and before.per_minute == per_minute):
            return None if per_minute is None else before
        return Bucket(per_minute, self._clock)

    def enter(self) -> None:
        """A request begins: ``leave`` must follow. Raises RateLimitError, and then counts nothing."""
        most, requests, tokens = self._concurrent_requests, self._requests, self._tokens
        if most is not None and self._num_running >= most:
            raise _too_much(f"{most} requests at a time", 1.0)
        if requests is not None and (seconds := requests.seconds_until(1)) > 0:
            raise _too_much(f"{requests.per_minute} requests a minute", seconds)
        if tokens is not None and (seconds := tokens.seconds_until(1)) > 0:
            raise _too_much(f"{tokens.per_minute} tokens a minute", seconds)
        if requests is not None:
            requests.take(1)
        self._num_running += 1

    def leave(self) -> None:
        self._num_running -= 1

    @property
    def counts_tokens(self) -> bool:
        return self._tokens is not None

    def charge(self, num_tokens: int) -> None:
        tokens = self._tokens
        if tokens is not None:
            tokens.take(num_tokens)

    def headers(self) -> dict[str, str]:
        """OpenAI's ``x-ratelimit-*``, of the limits that there are."""
        found: dict[str, str] = {}
        for kind, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket is not None:
                found[f"x-ratelimit-limit-{kind}"] = str(bucket.per_minute)
                found[f"x-ratelimit-remaining-{kind}"] = str(max(0, int(bucket.level)))
                found[f"x-ratelimit-reset-{kind}"] = _duration(bucket.seconds_until(bucket.per_minute))
        return found


def _too_much(limit: str, seconds: float) -> RateLimitError:
    after = max(1, math.ceil(seconds))
    return RateLimitError(f"This API key may use {limit}. Please try again in {after} s.", after)


def _duration(seconds: float) -> str:
    """As OpenAI writes it: ``250ms``, ``12s``, ``6m0s``."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
