"""Markdown in a real browser: what a model writes becomes nodes, and never markup of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.http.page.conftest import WatchedHandler

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_SHOW = """async (text) => {
  const { showMarkdown } = await import("/page/markdown.js");
  const box = document.createElement("div");
  showMarkdown(box, text);
  return box.innerHTML;
}"""
_STREAM = """async (text) => {
  const { showMarkdown } = await import("/page/markdown.js");
  const [whole, grown] = [document.createElement("div"), document.createElement("div")];
  showMarkdown(whole, text);
  for (let end = 0; end <= text.length; end += 1) showMarkdown(grown, text.slice(0, end));
  return whole.innerHTML === grown.innerHTML;
}"""
_SECONDS = """async (text) => {
  const { showMarkdown } = await import("/page/markdown.js");
  const startedMs = performance.now();
  showMarkdown(document.createElement("div"), text);
  return (performance.now() - startedMs) / 1000;
}"""
_HANDLERS = """(html) => {
  const found = new DOMParser().parseFromString(html, "text/html");
  return found.querySelectorAll("[onmouseover], [onerror]").length;
}"""
_RICH = """# Title

Some *soft* and **loud** text, `code`, [a link](https://example.org/a_(b)).

1. one
   - inner
2. two

> quoted
> more

| a | b |
|---|--:|
| 1 | `x` |

```js
let a = "**no**";
```

---
the end"""


@pytest.fixture(scope="module")
def page(browser: Browser, played: tuple[WatchedHandler, str]) -> Iterator[Page]:
    """One for all: its modules keep nothing."""
    page = browser.new_page()
    page.goto(played[1])
    yield page
    page.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n\nc", "<p>a\nb</p><p>c</p>"),
        ("## Two #", "<h4>Two</h4>"),
        (
            "**b** *i* ***x*** ~~s~~",
            "<p><strong>b</strong> <em>i</em> <strong><em>x</em></strong> <s>s</s></p>",
        ),
        ("snake_case_name 2*3*4 a * b * c", "<p>snake_case_name 2<em>3</em>4 a * b * c</p>"),
        ("`a*b*` ``x ` y``", "<p><code>a*b*</code> <code>x ` y</code></p>"),
        (r"\*plain\*", "<p>*plain*</p>"),
        ("- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("> a\n> - b", "<blockquote><p>a</p><ul><li>b</li></ul></blockquote>"),
        ("a\n***\nb", "<p>a</p><hr><p>b</p>"),
        ("a | b", "<p>a | b</p>"),
    ],
)
def test_markdown(page: Page, text: str, expected: str) -> None:
    assert page.evaluate(_SHOW, text) == expected


def test_code_keeps_every_character_also_before_its_end(page: Page) -> None:
    for text in ("```py\na < b  *c*\n\n  d\n```", "```py\na < b  *c*\n\n  d"):
        assert "<code>a &lt; b  *c*\n\n  d</code>" in page.evaluate(_SHOW, text)


def test_a_table_has_its_cells(page: Page) -> None:
    html = page.evaluate(_SHOW, "| a | b |\n|---|--:|\n| 1 | **2** | 3 |")
    assert '<th class="end">b</th>' in html
    assert '<td class="start">1</td><td class="end"><strong>2</strong></td></tr>' in html


def test_links_lead_out_and_nowhere_else(page: Page) -> None:
    html = page.evaluate(
        _SHOW, "[a](https://example.org/x_(y)) and https://example.org/z. ![pic](https://e.org/p.png)"
    )
    assert html.count('rel="noopener noreferrer"') == 3
    assert 'href="https://example.org/x_(y)"' in html
    assert 'href="https://example.org/z"' in html
    assert "<img" not in html


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert`1`)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        '[<img src=x>](https://e.org/"onmouseover=alert(1))',
        "```<img src=x>\n<img src=x>\n```",
        "| <img src=x> |\n|---|\n| <b>x</b> |",
    ],
)
def test_markup_in_a_text_is_text(page: Page, text: str) -> None:
    html = page.evaluate(_SHOW, text)
    assert "<img" not in html
    assert "<script" not in html
    assert 'href="j' not in html.lower()
    assert 'href="d' not in html.lower()
    assert "<b>" not in html
    assert not page.evaluate(_HANDLERS, html)


def test_a_text_that_grows_looks_like_the_whole_one(page: Page) -> None:
    assert page.evaluate(_STREAM, _RICH)


@pytest.mark.parametrize(
    "text",
    [
        ">" * 5000 + " deep",
        "- " * 3000 + "deep",
        "*" * 20_000,
        "**a " * 5000,
        "[" * 20_000,
        "`" * 20_001 + "a",
        "_a" * 10_000,
        "|" * 20_000 + "\n" + "|-" * 10_000,
        "https://" + "." * 30_000,
    ],
    ids=lambda text: text[:6],
)
def test_no_text_holds_the_page_up(page: Page, text: str) -> None:
    assert page.evaluate(_SECONDS, text) < 1
