"""SIGHUP, where there is a file of API keys: it is read again, and nothing else happens."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from api.keys.key_ring import KeyRing


def reload_on_hangup(keys: KeyRing) -> None:
    """Main thread only. A terminal that closes does not end such a server any more.

    A worker begins with the signal blocked, so that none ends it before it knows what to do.
    """

    def handle(sig: int, frame: FrameType | None) -> None:
        # On a thread: the event loop is not to wait for a disk.
        threading.Thread(target=keys.reload, name="API keys", daemon=True).start()

    signal.signal(signal.SIGHUP, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
