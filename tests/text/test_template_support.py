from __future__ import annotations

from collections.abc import Callable

import pytest

from api.text.template_support import TemplateSupport
from api.text.tokenizer import Tokenizer
from tests.text.conftest import TEMPLATE
from tests.text.templates import CHATML_WITH_TOOLS, NO_SYSTEM, SHORT_IDS

ALL = TemplateSupport(system=True, tools=True, tool_calls=True, tool_results=True)


@pytest.mark.parametrize(
    ("template", "support"),
    [
        (None, TemplateSupport()),
        (TEMPLATE, TemplateSupport(system=True)),
        (NO_SYSTEM, TemplateSupport()),
        (CHATML_WITH_TOOLS, ALL),
        (SHORT_IDS, TemplateSupport(True, True, True, True, call_id_length=9)),
        ("{% if %}", TemplateSupport()),
        (
            "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}",
            TemplateSupport(True, tool_results=True),
        ),
    ],
)
def test_what_a_template_writes(
    load_with: Callable[..., Tokenizer], template: str | None, support: TemplateSupport
) -> None:
    assert load_with(template).template_support == support
