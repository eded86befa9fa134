import pytest

from api.errors import InvalidRequestError
from api.http.transport.json_structure import JsonLimits
from api.http.transport.strict_json import parse_json

AMPLE = JsonLimits(max_containers=1_000_000, max_keys=1_000_000, max_strings=1_000_000, max_values=1_000_000)


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
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": [{"a": 1, "a": 1}]}',
        b'{"x": {"y": 1}, "z": {"b": {"a": [], "a": "}"}}}',
        b"[" * 100_000,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"[" * 300 + b"]" * 300,
    ],
)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(body, AMPLE)
    assert caught.value.code == "invalid_json"


def test_good_bodies_are_parsed() -> None:
    assert parse_json('{"a": [1, 2.5, {"a": "é"}]}'.encode(), AMPLE) == {"a": [1, 2.5, {"a": "é"}]}


def test_integers_of_any_length_do_no_harm() -> None:
    assert isinstance(parse_json(b'{"a": ' + b"9" * 200 + b"}", AMPLE)["a"], float)
    with pytest.raises(InvalidRequestError):
        parse_json(b'{"a": ' + b"9" * 10_000 + b"}", AMPLE)


def test_equal_keys_in_different_objects_are_fine() -> None:
    assert parse_json(b'[{"a": 1}, {"a": 1}]', AMPLE) == [{"a": 1}, {"a": 1}]


def test_values_may_be_nested() -> None:
    assert parse_json(b"[" * 200 + b"]" * 200, AMPLE)
    assert parse_json(b"[" + b"[[{}]]," * 200 + b"0]", AMPLE)


def test_a_repeated_key_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="'a:b' occurs twice"):
        parse_json(b'{"a:b": 1, "c": "x:y", "a:b": 2}', AMPLE)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[" + b"[]," * 10 + b"0]", "11 JSON arrays and objects"),
        (b"[" * 11, "11 JSON arrays and objects"),
        (b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}', "6 JSON keys"),
        (b"[" + b'"",' * 9 + b"0]", "9 JSON strings"),
        (b"[" + b"1," * 20 + b"1]", "21 JSON values"),
    ],
)
def test_a_body_of_too_many_things_is_refused_before_it_is_built(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidRequestError, match=kind) as caught:
        parse_json(body, JsonLimits(max_containers=10, max_keys=5, max_strings=8, max_values=20))
    assert caught.value.code == "request_too_complex"
