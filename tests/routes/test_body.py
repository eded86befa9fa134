import pytest

from api.errors import InvalidRequestError
from api.routes.body import parse_json


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": 1, "a": 2}',
        b'{"x": [{"a": 1, "a": 1}]}',
        b"[" * 100_000,
        b'{"a":' * 1020 + b"1" + b"}" * 1020,
    ],
)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(body)
    assert caught.value.code == "invalid_json"


def test_good_bodies_are_parsed() -> None:
    assert parse_json('{"a": [1, 2.5, {"a": "é"}]}'.encode()) == {"a": [1, 2.5, {"a": "é"}]}


def test_integers_of_any_length_do_no_harm() -> None:
    assert isinstance(parse_json(b'{"a": ' + b"9" * 200 + b"}")["a"], float)
    with pytest.raises(InvalidRequestError):
        parse_json(b'{"a": ' + b"9" * 10_000 + b"}")


def test_equal_keys_in_different_objects_are_fine() -> None:
    assert parse_json(b'[{"a": 1}, {"a": 1}]') == [{"a": 1}, {"a": 1}]
