"""Whether a draft model speaks the tokens of the model that is served."""

from __future__ import annotations

from collections.abc import Sequence

from api.errors import StartupError


def num_shared_tokens(served: Sequence[str], draft: Sequence[str], draft_label: str) -> int:
    """The ids below this mean the same in both vocabularies, which name their tokens in the order of ids.

    One may have more tokens at its end, and both may leave ids unnamed. Raises StartupError where they differ
    otherwise.
    """
    num_shared = min(len(served), len(draft))
    for token_id in range(num_shared):
        ours, theirs = served[token_id], draft[token_id]
        if ours and theirs and ours != theirs:
            raise StartupError(
                f"--draft-model {draft_label} has another vocabulary: its token {token_id} is "
                f"{theirs!r}, not {ours!r}; use a model with the same tokenizer"
            )
    return num_shared
