"""ServerHandler as a whole: real threads and queues around an engine without a model."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api.errors import InvalidRequestError, NotServingError, QueueFullError, ServerSideError
from api.events import Accepted, ChoiceFinished, Failed, Finished, TextEvent, Usage
from api.server_handler import Channel, ServerHandler
from api.threads.channel import is_terminal
from api.types import FinishReason
from tests.fakes.serving_handler import assert_nothing_left, events_of, run, serving, text_of, until
from tests.threads.fakes import FakeEngine, create_engine, create_request


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Printing the tracebacks that are provoked here would take most of the time."""
    with capture_logs():
        yield


def test_answer_arrives_in_order_with_exact_usage() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            events = await events_of(handler.submit(create_request("a", "hello!")))
        assert events[0] == Accepted("a", 3)
        assert text_of(events) == "hello"
        assert events[-1] == Finished("a", FinishReason.STOP, Usage(3, 6))

    run(test)


def test_cached_tokens_reach_the_usage() -> None:
    async def test() -> None:
        engine = create_engine()
        engine.scheduler.num_cached_tokens = 2
        async with serving(engine) as handler:
            events = await events_of(handler.submit(create_request("a", "hello!", num_choices=2)))
        assert isinstance(events[-1], Finished)
        assert events[-1].usage == Usage(3, 12, num_cached_tokens=2)

    run(test)


def test_max_tokens_ends_with_length() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            events = await events_of(handler.submit(create_request("a", "hello!", max_tokens=3)))
        assert text_of(events) == "hel"
        assert events[-1] == Finished("a", FinishReason.LENGTH, Usage(3, 3))

    run(test)


def test_stop_string_ends_the_rows_work() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            events = await events_of(handler.submit(create_request("a", "one END" * 10, stop=("END",))))
            await until(lambda: "a" in engine.scheduler.cancelled_ids or engine.is_empty)
        assert text_of(events) == "one "
        assert events[-1] == Finished("a", FinishReason.STOP, Usage(3, 7))
        assert_nothing_left(handler, engine)

    run(test)


def test_requests_share_the_batch() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channels = [handler.submit(create_request(str(i), f"answer {i}!")) for i in range(4)]
            await until(lambda: len(engine.prompt_reader.read_ids) == 4)
            engine.generator.gate.set()
            answers = [text_of(await events_of(channel)) for channel in channels]
        assert answers == [f"answer {i}" for i in range(4)]
        assert max(engine.generator.batch_sizes) > 1

    run(test)


@pytest.mark.parametrize(("text", "code"), [("@", "context_length_exceeded"), ("%", "internal_error")])
def test_refused_prompt_fails_alone(text: str, code: str) -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            bad, good = handler.submit(create_request("bad", text)), handler.submit(create_request("good"))
            (failed,) = await events_of(bad)
            assert text_of(await events_of(good)) == "hello"
        assert isinstance(failed, Failed)
        assert failed.error.code == code

    run(test)


@pytest.mark.parametrize("text", ["ab#", "ab~c!"])
def test_broken_step_or_pipeline_fails_the_culprit_alone(text: str) -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channels = [handler.submit(create_request(i, t)) for i, t in (("bad", text), ("good", "hello!"))]
            await until(lambda: len(engine.prompt_reader.read_ids) == 2)
            engine.generator.gate.set()
            bad, good = [await events_of(channel) for channel in channels]
            assert text_of(bad) == "ab"
            assert isinstance(bad[-1], Failed)
            assert isinstance(bad[-1].error, ServerSideError)
            assert text_of(good) == "hello"
            assert handler.health.status == "ok"
        assert engine.generator.num_resets == 2 * ("#" in text)  # together, then alone
        assert_nothing_left(handler, engine)

    run(test)


def test_cancel_frees_the_row_and_ends_once() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channel = handler.submit(create_request("a", "x" * 90))
            await until(lambda: bool(engine.scheduler.running))
            handler.cancel("a")
            handler.cancel("a")
            handler.cancel("unknown")
            await until(lambda: not handler._inbox.empty())
            engine.generator.gate.set()
            events = await events_of(channel)
            await until(lambda: engine.is_empty)
            assert engine.generator.batch_sizes == [1]
        assert events == [Finished("a", FinishReason.CANCELLED, Usage(3, 0))]
        assert engine.scheduler.cancelled_ids == ["a"]
        assert_nothing_left(handler, engine)

    run(test)


def test_cancel_before_the_prompt_is_read_spares_the_reading() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.prompt_reader.gate.clear()
            first, second = handler.submit(create_request("a")), handler.submit(create_request("b"))
            handler.cancel("b")
            engine.prompt_reader.gate.set()
            assert text_of(await events_of(first)) == "hello"
            assert await events_of(second) == [Finished("b", FinishReason.CANCELLED, Usage(0, 0))]
        assert engine.prompt_reader.read_ids == ["a"]
        assert_nothing_left(handler, engine)

    run(test)


def test_terminal_event_can_be_asked_for_again() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            channel = handler.submit(create_request("a"))
            last = (await events_of(channel))[-1]
            assert await channel.next_event() is last
            assert await channel.next_event() is last

    run(test)


def test_refusals_are_counted_and_logged() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            with capture_logs() as records:
                handler.record_refusal(InvalidRequestError("no", code="invalid_type"))
            assert handler.stats()["requests"]["refused_by_code"] == {"invalid_type": 1}
            [refusal] = [each for each in records if each["log_level"] == "warning"]
            assert (refusal["status"], refusal["code"]) == (400, "invalid_type")

    run(test)


def test_full_queue_refuses() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine, max_batch_size=1, max_queue=1) as handler:
            engine.generator.gate.clear()
            channels = [handler.submit(create_request(str(i))) for i in range(2)]
            with pytest.raises(QueueFullError):
                handler.submit(create_request("one too many"))
            assert handler.stats()["requests"]["refused_by_code"] == {"rate_limit_exceeded": 1}
            engine.generator.gate.set()
            for channel in channels:
                await events_of(channel)
            assert text_of(await events_of(handler.submit(create_request("later")))) == "hello"

    run(test)


def test_every_choice_counts_as_one_in_the_queue() -> None:
    async def test() -> None:
        engine = create_engine()
        async with serving(engine, max_batch_size=2, max_queue=1) as handler:
            engine.generator.gate.clear()
            whole = handler.submit(create_request("a", num_choices=9))  # an idle server takes it
            with pytest.raises(QueueFullError):
                handler.submit(create_request("b"))
            engine.generator.gate.set()
            events = await events_of(whole)
            assert [type(event) for event in events].count(ChoiceFinished) == 9
            assert handler.stats()["batch"]["queued"] == 0
            handler.submit(create_request("c", num_choices=2))
            handler.submit(create_request("d"))
            with pytest.raises(QueueFullError):
                handler.submit(create_request("e"))

    run(test)


def test_one_wake_up_for_all_events_of_a_step() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channels = [handler.submit(create_request(str(i), "abc!")) for i in range(8)]
            await until(lambda: len(handler._results) == 8)
            with patch.object(handler, "_call_soon", wraps=handler._call_soon) as wake_up:
                engine.generator.gate.set()
                for channel in channels:
                    await events_of(channel)
            assert wake_up.call_count <= 1 + len(engine.generator.batch_sizes)

    run(test)


def test_stats_are_json_with_units_and_true_counts() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            for i, text in enumerate(("hello!", "@", "ab#")):
                await events_of(handler.submit(create_request(str(i), text)))
            stats = json.loads(json.dumps(handler.stats()))
        assert stats["status"] == "ok"
        assert stats["model"] == {"parameters": 1}
        requests = stats["requests"]
        assert (requests["received"], requests["live"], requests["stop"]) == (3, 0, 1)
        assert (requests["refused"], requests["failed"]) == (1, 1)
        assert requests["refused_by_code"] == {"context_length_exceeded": 1}  # by the prompt reader
        assert requests["failed_by_code"] == {"internal_error": 1}
        assert stats["tokens"]["output_total"] == 6 + 2
        assert stats["tokens"]["prompt_total"] == 3 + 3
        assert stats["batch"] == {
            "running": 0, "queued": 0, "peak_running": 1, "max_running": 32, "preemptions": 0,
            "proposed_tokens": 0, "accepted_tokens": 0,
        }  # fmt: skip
        assert stats["kv_memory"] == {"used_bytes": 0, "reserved_bytes": 0, "budget_bytes": 1000}
        assert (stats["prefix_cache"]["enabled"], stats["prefix_cache"]["hit_rate"]) == (True, 0.25)
        assert stats["time_to_first_token_seconds"]["count"] == 2
        assert stats["inter_token_seconds"]["count"] == 5 + 1

    run(test)


# --- any order of everything ---------------------------------------------------------------------

TEXTS = ("hello!", "x" * 40, "one END two!", "@", "%", "ab#c!", "ab~c!")
submits = st.tuples(st.just("submit"), st.sampled_from(TEXTS))
others = st.tuples(st.sampled_from(("cancel", "pause", "hold", "release", "drain", "die")), st.integers(0, 9))


class Script:
    """Plays random operations against a server and keeps what the clients saw."""

    def __init__(self, handler: ServerHandler, engine: FakeEngine) -> None:
        self.handler = handler
        self.engine = engine
        self.readers: dict[str, asyncio.Task[list[TextEvent]]] = {}
        self.drains: list[asyncio.Task[None]] = []
        self.num_refused = 0

    async def play(self, operation: str, argument: Any) -> None:
        match operation:
            case "submit":
                self.submit(argument)
            case "cancel":
                self.handler.cancel(str(argument))
            case "pause":
                await asyncio.sleep(argument / 5000)
            case "hold":
                self.engine.generator.gate.clear()
            case "release":
                self.engine.generator.gate.set()
            case "drain" if argument < 3:
                self.drains.append(asyncio.create_task(self.handler.drain(argument / 1000)))
            case "die" if argument < 2:
                self.engine.scheduler.schedule_error = RuntimeError("scheduler broke")

    def submit(self, text: str) -> None:
        request_id = str(len(self.readers))
        try:
            channel = self.handler.submit(create_request(request_id, text, stop=("END",)))
        except (NotServingError, QueueFullError):
            self.num_refused += 1
            return
        self.readers[request_id] = asyncio.create_task(events_of(channel))


@settings(max_examples=80, deadline=None)
@given(st.lists(submits | submits | others, min_size=1, max_size=25))
def test_every_request_ends_exactly_once_and_leaves_nothing(operations: list[tuple[str, Any]]) -> None:
    engine = create_engine()
    terminals: Counter[str] = Counter()
    put = Channel.put

    def counting_put(channel: Channel, event: TextEvent) -> None:
        terminals[channel.request_id] += is_terminal(event)
        put(channel, event)

    async def test() -> None:
        async with serving(engine, max_batch_size=4, max_queue=6) as handler:
            script = Script(handler, engine)
            for operation in operations:
                await script.play(*operation)
            engine.generator.gate.set()
            answers = {i: await reader for i, reader in script.readers.items()}
            await asyncio.gather(*script.drains)
            outcomes = handler.stats()["requests"]
        assert terminals == Counter(script.readers.keys())
        assert all([is_terminal(e) for e in seen].index(True) == len(seen) - 1 for seen in answers.values())
        ends = ("stop", "length", "tool_calls", "cancelled", "failed", "refused")
        assert outcomes["received"] == sum(outcomes[k] for k in ends) == len(answers) + script.num_refused
        if engine.scheduler.schedule_error is None:
            assert_nothing_left(handler, engine)
        assert len(handler._channels) == len(handler._results) == len(handler._processing._cancelled) == 0

    with patch.object(Channel, "put", counting_put):
        run(test)
