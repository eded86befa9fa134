"""OpenAI's chat completions: request -> GenerationRequest, TextEvent -> chunk or whole response."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from api.protocol.errors import error_object
from api.protocol.models import check_model_name
from api.protocol.unsupported_fields import refuse_unsupported
from api.schemas.chat_completions import ChatCompletionRequest, Message
from api.schemas.validation import validate_body
from api.server_handler import ServedModel
from api.types import (
    Accepted,
    Failed,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    TextDelta,
    TextEvent,
    Usage,
)


def parse_chat_completion(data: object, served: ServedModel, accept_any_model: bool) -> ChatCompletionRequest:
    """Returns the typed body of a request that can be honoured in full; else raises InvalidRequestError."""
    body = validate_body(ChatCompletionRequest, data)
    check_model_name(body.model, served, accept_any_model)
    refuse_unsupported(body)
    return body


def to_generation_request(body: ChatCompletionRequest) -> GenerationRequest:
    """A request without a seed gets a random one, so everything below always has one."""
    return GenerationRequest(
        request_id=f"chatcmpl-{secrets.token_hex(16)}",
        messages=tuple(_to_message(message) for message in body.messages),
        sampling=_to_sampling(body),
        max_tokens=body.answer_limit,
        stop=body.stop_strings,
        continue_final_message=bool(body.continue_final_message),
        arrival_seconds=time.monotonic(),
    )


def _to_message(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.name is not None:
        plain["name"] = message.name
    return plain


def _to_sampling(body: ChatCompletionRequest) -> SamplingParams:
    return SamplingParams(
        temperature=1.0 if body.temperature is None else float(body.temperature),
        top_p=1.0 if body.top_p is None else float(body.top_p),
        top_k=max(0, body.top_k or 0),  # -1 is a common way to say off
        min_p=float(body.min_p or 0.0),
        seed=secrets.randbits(63) if body.seed is None else body.seed,
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all objects of one answer share."""

    response_id: str
    model: str  # the name that the client used
    created_seconds: int
    system_fingerprint: str
    includes_usage: bool = False

    @classmethod
    def of(cls, body: ChatCompletionRequest, request: GenerationRequest, served: ServedModel) -> Envelope:
        return cls(
            response_id=request.request_id,
            model=body.model,
            created_seconds=int(time.time()),
            system_fingerprint=served.fingerprint,
            includes_usage=body.includes_usage,
        )

    def wrap(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.response_id,
            "object": kind,
            "created": self.created_seconds,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
            "choices": choices,
        }


def whole_response(envelope: Envelope, text: str, reason: FinishReason, usage: Usage) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason.value}
    return envelope.wrap("chat.completion", [choice]) | {"usage": usage_object(usage)}


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.num_prompt_tokens,
        "completion_tokens": usage.num_completion_tokens,
        "total_tokens": usage.num_total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.num_cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


class ChunkWriter:
    """Turns one request's events into the objects of a stream; ``feed`` may return several or none."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    def feed(self, event: TextEvent) -> list[dict[str, Any]]:
        match event:
            case TextDelta(text=text):
                return [self._chunk({"content": text})]
            case Accepted():
                return [self._chunk({"role": "assistant", "content": "", "refusal": None})]
            case Failed(error=error):
                return [error_object(error)]
            case _:
                return self._finish(event.finish_reason, event.usage)

    def _finish(self, reason: FinishReason, usage: Usage) -> list[dict[str, Any]]:
        last = self._chunk({}, reason.value)
        if not self._envelope.includes_usage:
            return [last]
        summary = self._envelope.wrap("chat.completion.chunk", [])
        return [last, summary | {"usage": usage_object(usage)}]

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._envelope.wrap("chat.completion.chunk", [choice])
        if self._envelope.includes_usage:
            chunk["usage"] = None
        return chunk
