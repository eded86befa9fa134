"""instructor, in each of its modes that a chat completions server has to carry."""

from __future__ import annotations

from typing import Any

import instructor
import openai
import pytest
from pydantic import BaseModel

from tests.clients.forms import ANIMAL_MESSAGES, API_KEY, MODEL, QUESTION_MESSAGES, Animal

MODES = [instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA]


class Verdict(BaseModel):
    is_cat: bool


def client_for(base_url: str, mode: instructor.Mode) -> instructor.Instructor:
    return instructor.from_openai(openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_answer(base_url: str, mode: instructor.Mode) -> None:
    animal, completion = client_for(base_url, mode).chat.completions.create_with_completion(
        model=MODEL, messages=ANIMAL_MESSAGES, response_model=Animal, max_tokens=80, max_retries=0
    )
    assert isinstance(animal, Animal)
    assert completion.usage.completion_tokens > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_streamed_answer(base_url: str, mode: instructor.Mode) -> None:
    partials: list[Any] = list(
        client_for(base_url, mode).chat.completions.create_partial(
            model=MODEL, messages=ANIMAL_MESSAGES, response_model=Animal, max_tokens=80, max_retries=0
        )
    )
    assert len(partials) > 1
    Animal.model_validate(partials[-1].model_dump())


def test_json_mode(base_url: str) -> None:
    client = client_for(base_url, instructor.Mode.JSON)
    verdict = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": 'Answer with {"is_cat": true}.'}],
        response_model=Verdict,
        max_tokens=30,
        max_retries=2,
        temperature=0,
    )
    assert isinstance(verdict, Verdict)


def test_text_without_a_model(base_url: str) -> None:
    client = client_for(base_url, instructor.Mode.TOOLS)
    answer: Any = client.chat.completions.create(
        model=MODEL, messages=QUESTION_MESSAGES, response_model=None, max_tokens=6
    )
    assert answer.choices[0].message.content
