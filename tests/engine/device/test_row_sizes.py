from __future__ import annotations

import pytest

from api.engine.device.row_sizes import padded_rows


@pytest.mark.parametrize(
    ("num_rows", "multiple", "padded"),
    [(0, 16, 0), (1, 16, 1), (2, 16, 2), (3, 16, 16), (16, 16, 16), (17, 16, 32), (17, 1, 17), (5, 4, 8)],
)
def test_rows_are_filled_up_unless_they_are_few(num_rows: int, multiple: int, padded: int) -> None:
    assert padded_rows(num_rows, multiple) == padded
