from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.errors import SchemaError
from api.text.grammar.references import References

INNER: dict[str, Any] = {"$id": "inner.json", "$defs": {"x": {"$anchor": "mark"}}, "use": {}}
ROOT: dict[str, Any] = {
    "$id": "http://example.org/root.json",
    "$defs": {"inner": INNER, "list": [{"a": 1}], "with~/%": {"b": 2}},
    "const": {"$id": "no.json"},
}


@pytest.mark.parametrize(
    ("reference", "node", "target"),
    [
        ("#", ROOT, ROOT),
        ("", ROOT, ROOT),
        ("#/$defs/list/0", ROOT, ROOT["$defs"]["list"][0]),
        ("#/$defs/with~0~1%25", ROOT, ROOT["$defs"]["with~/%"]),
        ("http://example.org/root.json#/$defs/inner", ROOT, INNER),
        ("inner.json", ROOT, INNER),
        ("inner.json#mark", ROOT, INNER["$defs"]["x"]),
        ("#mark", INNER["use"], INNER["$defs"]["x"]),
        ("#/$defs/x", INNER["use"], INNER["$defs"]["x"]),
        ("root.json", INNER["use"], ROOT),
    ],
)
def test_a_reference_is_resolved_where_it_stands(reference: str, node: Any, target: Any) -> None:
    assert References(ROOT).resolve(reference, node, "#") is target


@pytest.mark.parametrize(
    "reference", ["#mark", "#/$defs/list/1", "#/$defs/list/x", "no.json", "#/$defs/inner/y"]
)
def test_an_unknown_one_is_an_error(reference: str) -> None:
    with pytest.raises(SchemaError, match=r"at #/here"):
        References(ROOT).resolve(reference, ROOT, "#/here")


def test_an_identifier_beside_a_reference_is_one_at_the_root_only() -> None:
    References({"$id": "x", "$ref": "#/$defs/a", "$defs": {"a": {}}})
    with pytest.raises(SchemaError, match="only at the root"):
        References({"items": {"$id": "x", "$ref": "#"}})
