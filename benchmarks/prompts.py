"""Distinct prompts of a wanted length that make a chat model write long answers."""

from __future__ import annotations

import random

# Everyday words, one token each in most vocabularies.
WORD_LIST = (
    "river mountain city garden winter summer friend teacher doctor farmer music picture window "
    "letter bridge market forest island ocean village castle dragon horse bird train road light "
    "shadow morning evening dream secret story voice hand heart fire water stone wind rain snow "
    "star moon sun field house door table book paper glass gold silver iron wood bread salt ship "
    "king queen child mother father brother sister hunter sailor soldier painter writer singer"
)
WORDS = tuple(WORD_LIST.split())
TASK = "Write a long story of at least five hundred words with these words in it."
NUM_TEMPLATE_TOKENS = 50  # the task itself, the chat template and its system prompt, roughly


def story_prompt(num_tokens: int, seed: int) -> str:
    """A prompt of about ``num_tokens`` tokens; another seed gives other words from the first on.

    So nothing but the chat template's own beginning is shared, and a prefix cache is of no use.
    """
    draw = random.Random(seed)
    num_words = max(4, num_tokens - NUM_TEMPLATE_TOKENS)
    words = " ".join(draw.choice(WORDS) for _ in range(num_words))
    return f"{words}. {TASK}"


def story_prompts(num_prompts: int, num_tokens: int, seed: int) -> list[str]:
    """``num_prompts`` different prompts; runs with different seeds share none of them."""
    return [story_prompt(num_tokens, seed * 10_000 + index) for index in range(num_prompts)]
