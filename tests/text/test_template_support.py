from api.text.template_support import TemplateSupport

ALL_TURNS = TemplateSupport(
    system=True, late_system=True, user_runs=True, assistant_runs=True, opening_answer=True
)


def test_the_log_line_names_what_is_folded_and_what_is_written() -> None:
    assert ALL_TURNS.describe() == "Chat template: takes all messages; writes no tools itself"
    line = TemplateSupport(user_runs=True, tools=True, content_parts=frozenset({"user"})).describe()
    assert line == (
        "Chat template: folds system messages, assistant messages in a row, an assistant message in the "
        "first place; content as parts for user; writes tools itself"
    )


def test_fallbacks_begin_with_what_was_found_and_take_ever_less() -> None:
    first, *others = ALL_TURNS.fallbacks()
    assert first == ALL_TURNS
    assert TemplateSupport() in others
    assert len(set(others)) == len(others)
    assert TemplateSupport().fallbacks() == [TemplateSupport()]
