from __future__ import annotations

from api.engine.files.fingerprints import digest, fingerprint_of


def test_names_are_the_same_in_every_process() -> None:
    assert fingerprint_of(("llama", 1)) == "fp_abab52d88dcd"
    assert digest(("llama", 1), 6) == "abab52"


def test_another_value_has_another_name() -> None:
    assert len({digest(value, 16) for value in (1, "1", (1,), None)}) == 4
