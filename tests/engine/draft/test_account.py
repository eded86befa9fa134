from __future__ import annotations

from api.engine.draft.account import Account


def test_drafts_that_pay_are_allowed_for_good() -> None:
    account = Account()
    for _ in range(500):
        account.drafted(2.0, num_decoding=4)
        for _ in range(6):
            account.gained_token()
        assert account.allows_drafts
    assert account.num_steps > 0


def test_drafts_that_lose_rest_until_plain_steps_have_made_up_for_them() -> None:
    """Over any long time they take about a hundredth."""
    account, lost, num_plain = Account(), 0.0, 0
    for _ in range(20_000):
        if account.allows_drafts:
            account.drafted(1.5, num_decoding=1)
            lost += 0.5
        else:
            account.stepped()
            num_plain += 1
    assert 0.005 < lost / num_plain < 0.02


def test_what_was_gained_is_not_remembered_for_ever() -> None:
    account = Account()
    for _ in range(1000):
        account.gained_token()
    for _ in range(25):
        account.drafted(2.0, num_decoding=1)
    assert not account.allows_drafts
