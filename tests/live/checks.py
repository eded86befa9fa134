"""What a live server must do: each check returns the words that follow its tick, or raises."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from textwrap import shorten
from typing import Any

from tests.live.client import Api, Json, Stream, content, expect, expect_error, leave, live_state, until_idle

MAX_TOGETHER_RATIO = 0.75  # wall time of requests sent together, against one after another
TOPICS = ("rivers", "bread", "trains", "winter", "the moon", "chess")
FREE_TIMEOUT_SECONDS = 5.0  # a step takes less; the answers that nobody waits for take more
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON_TYPE = {"content-type": "application/json"}


async def check_endpoints(api: Api) -> str:
    for path in ("/health", "/v1/models", "/stats", f"/v1/models/{api.model}"):
        response = await api.http.get(path)
        expect(response.status_code == 200, f"GET {path}: HTTP {response.status_code}")
        expect(isinstance(response.json(), dict), f"GET {path}: no JSON object")
    expect_error(await api.http.get("/v1/nothing"), 404)
    expect_error(await api.http.get("/v1/models/no-such-model"), 404)
    expect_error(await api.http.get("/v1/chat/completions"), 405)
    expect_error(await api.http.post("/v1/chat/completions", content="a=1", headers=FORM), 415)
    return f"model {api.model}"


async def check_whole(api: Api) -> str:
    answer = await api.whole("What is the capital of France?", 16)
    choice, usage = answer["choices"][0], answer["usage"]
    expect(answer["object"] == "chat.completion", f"object is {answer['object']!r}")
    expect(choice["message"]["role"] == "assistant" and content(answer), "no assistant text")
    expect(choice["finish_reason"] in ("stop", "length"), f"finish_reason {choice['finish_reason']!r}")
    expect(0 < usage["completion_tokens"] <= 16, f"{usage['completion_tokens']} completion tokens of 16")
    total = usage["prompt_tokens"] + usage["completion_tokens"]
    expect(usage["total_tokens"] == total, "total_tokens is no sum")
    return shorten(content(answer), 60)


async def check_alias(api: Api) -> str:
    body = api.body("Hello, how are you?", 4) | {"model": "model"}
    response = await api.post(body)
    expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:200]}")
    return "the name 'model' works"


async def check_stream(api: Api) -> str:
    prompt = "Write one sentence about a café, with an emoji such as 🐢."
    stream = await api.stream(prompt, 32, stream_options={"include_usage": True})
    answer = await api.whole(prompt, 32)
    expect(stream.is_done, "no [DONE]")
    expect(stream.roles[:1] == ["assistant"], f"roles {stream.roles}")
    expect("\ufffd" not in stream.text, "a broken character in the stream")
    expect(stream.text == content(answer), f"stream {stream.text!r} is not the answer {content(answer)!r}")
    expect(stream.finish_reason == answer["choices"][0]["finish_reason"], "another finish_reason")
    expect(
        stream.usage and stream.usage["completion_tokens"] == answer["usage"]["completion_tokens"], "usage"
    )
    return f"{len(stream.times)} deltas, equal to the whole answer"


async def check_stop(api: Api) -> str:
    text = content(await api.whole("Count from one to twenty in words.", 24))
    middle = text[len(text) // 2 :][:4]
    answer = await api.whole("Count from one to twenty in words.", 24, stop=[middle])
    expect(content(answer) == text[: text.index(middle)], f"{content(answer)!r} with stop {middle!r}")
    expect(answer["choices"][0]["finish_reason"] == "stop", "finish_reason is not stop")
    return f"ends before {middle!r}"


async def check_concurrent(api: Api) -> str:
    prompts = [f"Write a long text about {topic}." for topic in TOPICS]
    started = time.perf_counter()
    alone = [await api.whole(prompt, 24) for prompt in prompts]
    between = time.perf_counter()
    together = await asyncio.gather(*(api.whole(prompt, 24) for prompt in prompts))
    seconds, sum_seconds = time.perf_counter() - between, between - started
    for one, other in zip(alone, together, strict=True):
        expect(one["usage"]["prompt_tokens"] == other["usage"]["prompt_tokens"], "other prompt tokens")
    same = sum(content(one) == content(other) for one, other in zip(alone, together, strict=True))
    expect(same > len(TOPICS) // 2, f"only {same} of {len(TOPICS)} answers are those given alone")
    expect(
        seconds < MAX_TOGETHER_RATIO * sum_seconds, f"{seconds:.1f} s together, {sum_seconds:.1f} s in turn"
    )
    return f"{len(TOPICS)} together {seconds:.1f} s, in turn {sum_seconds:.1f} s, {same} answers identical"


async def check_overtaking(api: Api) -> str:
    """A short request joins the batch of a long one, ends first, and never stops the long one."""
    long = Stream()
    task = asyncio.create_task(api.stream("Tell me a very long story about a dragon.", 128, into=long))
    while len(long.times) < 4 and not task.done():
        await asyncio.sleep(0.005)
    joined = time.perf_counter()
    await api.whole("Say hello.", 4)
    left = time.perf_counter()
    await task
    during = sum(joined < moment < left for moment in long.times)
    after = sum(moment > left for moment in long.times)
    expect(after > 0, "the short request ended after the long one that had begun before it")
    expect(during > 0, "the long answer stood still while the short request ran")
    return f"the long answer got {during} deltas while the short request ran, {after} after it"


async def check_seed(api: Api) -> str:
    async def draw(seed: int) -> str:
        return content(await api.whole("Invent a name for a boat and say why.", 16, temperature=1, seed=seed))

    first = await draw(7)
    again, *others = await asyncio.gather(*(draw(seed) for seed in (7, 8, 9, 10)))
    expect(first == again, f"seed 7 gave {first!r} alone and {again!r} among others")
    expect(any(other != first for other in others), "other seeds gave the same text")
    return "same seed, same text, alone and among others"


def bad_bodies(api: Api) -> list[tuple[str | None, Json]]:
    """Requests that are refused with 400, and the field that the error names."""
    good = api.body("Hi", 4)
    changes: list[tuple[str, Any]] = [
        ("messages", []),
        ("messages", "Hi"),
        ("temperature", "hot"),
        ("temperature", 3),
        ("top_p", 1.5),
        ("max_tokens", 0),
        ("max_tokens", True),
        ("stop", 5),
        ("stream", "yes"),
        ("n", 0),
        ("logit_bias", {"999999999": 1}),
    ]
    bodies: list[tuple[str | None, Json]] = [(name, good | {name: value}) for name, value in changes]
    bodies.append(("messages[0].role", good | {"messages": [{"role": "wizard", "content": "Hi"}]}))
    bodies.append(("model", {key: value for key, value in good.items() if key != "model"}))
    bodies.append((None, api.body("word " * 200_000, 4)))
    return bodies


async def check_bad_input(api: Api) -> str:
    bodies = bad_bodies(api)
    for param, body in bodies:
        expect_error(await api.post(body), 400, param)
    for text in ("", "{", "[]", "null", '{"model": NaN}', "[" * 10_000, "\x00"):
        response = await api.http.post("/v1/chat/completions", content=text, headers=JSON_TYPE)
        expect_error(response, 400)
    expect_error(await api.post(api.body("Hi", 4) | {"model": "no-such-model"}), 404, "model")
    await api.whole("Are you still there?", 2)
    return f"{len(bodies) + 8} refused, the server lives"


async def check_structure(api: Api) -> str:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "maximum": 99},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    text = content(await api.whole("Describe a sailor.", 64, response_format=form))
    person = json.loads(text)
    expect(set(person) == {"name", "age"} and isinstance(person["age"], int), f"not of the schema: {text}")
    return text


async def check_tools(api: Api) -> str:
    parameters = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    function = {"name": "get_weather", "parameters": parameters | {"additionalProperties": False}}
    choice = {"type": "function", "function": {"name": "get_weather"}}
    tools = [{"type": "function", "function": function}]
    answer = await api.whole("What is the weather in Rome?", 64, tools=tools, tool_choice=choice)
    call = answer["choices"][0]["message"]["tool_calls"][0]
    expect(call["function"]["name"] == "get_weather" and call["id"], f"no call of get_weather: {call}")
    expect(json.loads(call["function"]["arguments"])["city"] in ("Paris", "Rome"), f"arguments: {call}")
    expect(answer["choices"][0]["finish_reason"] == "tool_calls", "finish_reason is not tool_calls")
    return f"{call['function']['name']}({call['function']['arguments']})"


async def check_choices(api: Api) -> str:
    answer = await api.whole("Name a colour.", 8, n=3, logprobs=True, top_logprobs=2)
    texts = {choice["message"]["content"] for choice in answer["choices"]}
    expect(len(answer["choices"]) == 3 and len(texts) == 1, f"3 greedy answers to one prompt: {texts}")
    first = answer["choices"][0]["logprobs"]["content"][0]
    expect(first["logprob"] <= 0 and len(first["top_logprobs"]) == 2, f"logprobs: {first}")
    return f"3 choices, {answer['usage']['prompt_tokens']} prompt tokens counted once"


async def check_disconnect(api: Api) -> str:
    async for event in api.events(api.body("Tell me a very long story.", 512)):
        if event and event["choices"] and event["choices"][0]["delta"].get("content"):
            expect(any(live_state(await api.stats()).values()), "/stats shows no row while a stream runs")
            break
    await leave(api, api.body("Tell me another very long story.", 512), 0.3)
    seconds = await until_idle(api, FREE_TIMEOUT_SECONDS)
    return f"both rows were free after {seconds:.1f} s"


Check = Callable[[Api], Awaitable[str]]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("health and endpoints", check_endpoints),
    ("whole answer", check_whole),
    ("model alias", check_alias),
    ("streamed answer", check_stream),
    ("stop string", check_stop),
    ("concurrent requests", check_concurrent),
    ("continuous batching", check_overtaking),
    ("seeds", check_seed),
    ("choices and logprobs", check_choices),
    ("structured answer", check_structure),
    ("tool call", check_tools),
    ("bad input", check_bad_input),
    ("clients that leave", check_disconnect),
)
