"""How long prompts and answers are: enough for a GPU to show itself, or little for a CPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class LoadSizes:
    """Tokens, unless a name says otherwise."""

    prompt: int  # of a chat whose decode rate is taken
    decode_steps: int  # of one measurement
    prefill: int  # a prompt read alone
    long_prompt: int  # one that comes beside eight streams
    history: int  # a conversation's first prompt
    length_scale: int  # of the prompts in the check for right tokens
    chat: int  # of one of eight chats whose bytes are counted


GPU = LoadSizes(
    prompt=128, decode_steps=64, prefill=4096, long_prompt=8192, history=3000, length_scale=8, chat=2000
)
CPU = LoadSizes(
    prompt=24, decode_steps=24, prefill=512, long_prompt=800, history=400, length_scale=1, chat=300
)


# Of a part's seconds, what reading its longest prompt once may take.
_LONG_PROMPT_SHARE = 1 / 8


def fitting(sizes: LoadSizes, tokens_per_second: float, seconds: float) -> LoadSizes:
    """``sizes`` or, where a prompt is read slowly, a share of them all; none smaller than a CPU's."""
    share = min(1.0, _LONG_PROMPT_SHARE * seconds * tokens_per_second / sizes.long_prompt)
    return LoadSizes(
        **{name: max(int(size * share), getattr(CPU, name)) for name, size in asdict(sizes).items()}
    )
