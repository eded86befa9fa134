from __future__ import annotations

import threading
from pathlib import Path

from api.engine.files.folder_lock import exclusive


def test_a_second_one_waits_until_the_first_is_done(tmp_path: Path) -> None:
    done: list[str] = []

    def second() -> None:
        with exclusive(tmp_path):
            done.append("second")

    waiting = threading.Thread(target=second)
    with exclusive(tmp_path):
        waiting.start()
        waiting.join(timeout=0.05)
        done.append("first")
    waiting.join(timeout=10)
    assert done == ["first", "second"]


def test_what_the_locks_file_says_stays(tmp_path: Path) -> None:
    with exclusive(tmp_path) as lock:
        lock.write_text("mine")
    with exclusive(tmp_path) as lock:
        assert lock.read_text() == "mine"
