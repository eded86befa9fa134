"""What every client asks for. The answers' form is certain, whatever a small model makes of the question.

Clients read the function's annotations at run time, so they are no strings here.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MODEL = "model"
ALIAS = "small"  # the server answers to this name as well
API_KEY = "none"
QUESTION = "What is the capital of France?"
ANIMAL_QUESTION = "Describe a cat."
WEATHER_QUESTION = "What is the weather in Paris?"
QUESTION_MESSAGES: Any = [{"role": "user", "content": QUESTION}]
ANIMAL_MESSAGES: Any = [{"role": "user", "content": ANIMAL_QUESTION}]
WEATHER_MESSAGES: Any = [{"role": "user", "content": WEATHER_QUESTION}]

City = Literal["Paris", "Oslo"]
Unit = Literal["celsius", "fahrenheit"]


class Animal(BaseModel):
    """An animal."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["cat", "dog", "bird"]
    num_legs: int = Field(ge=0, le=8)
    is_tame: bool


class Weather(BaseModel):
    """Tells the weather in a city."""

    model_config = ConfigDict(extra="forbid")

    city: City
    unit: Unit


def get_weather(city: City, unit: Unit) -> str:
    """Tells the weather in a city."""
    return f"It is 21 degrees {unit} in {city}."


WEATHER_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": Weather.model_json_schema(),
    },
}
