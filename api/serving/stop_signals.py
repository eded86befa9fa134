"""The signals that ask a server to end."""

from __future__ import annotations

import signal


def stop_signals() -> tuple[signal.Signals, ...]:
    """Ctrl-C, ``kill``, and a terminal that closes: unless nohup or a parent said to outlive that."""
    always = (signal.SIGINT, signal.SIGTERM)
    return always if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*always, signal.SIGHUP)


def insists(sig: int) -> bool:
    """Whether ``sig``, coming again, is a person who cannot wait.

    A closing terminal's signal comes several times by itself: from the shell, and from the system.
    """
    return sig != signal.SIGHUP
