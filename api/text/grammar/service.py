"""Grammars for requests: compiled beside everything else, a few at a time, and kept.

A *compiler* is a thread with a process. The process tries a grammar out, within limits of time, memory
and stack; what held there is compiled once more here, on a larger stack, by threads that leave Python's lock
to the others. So no grammar can end the server or hold up prompts that have none.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import structlog
from llguidance import LLTokenizer

from api.errors import ApiError, InvalidRequestError, ServerSideError
from api.text.grammar.compiled_grammar import CompiledGrammar, build_grammar
from api.text.grammar.compiler_process import Abandoned, Compiled, CompilerProcess
from api.text.grammar.errors import GrammarError
from api.text.grammar.job import GrammarJob
from api.text.grammar.stacks import TRUSTED_STACK_BYTES, start_with_stack
from api.text.grammar.vocabulary import VocabularySource, build_vocabulary
from api.thread_priority import yield_to_others

log = structlog.get_logger(__name__)

MAX_COMPILERS = 6
MAX_COMPILE_SECONDS = 20.0
MAX_KEPT = 64
# A grammar's memory goes about with the time that it takes: up to 15 MB a second.
MAX_KEPT_SECONDS = 30.0
_MAX_IDLE_SECONDS = 60.0  # then a compiler ends, the last one excepted

Outcome = CompiledGrammar | ApiError


@dataclass(frozen=True, slots=True)
class _Kept:
    outcome: Outcome
    seconds: float = 0.0  # that compiling it takes


Deliver = Callable[[Outcome], None]


@dataclass(slots=True)
class _Waiter:
    is_wanted: Callable[[], bool]
    deliver: Deliver
    x_request_id: str


@dataclass(slots=True)
class _Task:
    """One job, and all the requests that wait for it."""

    key: bytes
    job: GrammarJob
    client_id: str  # of the first of them
    number: int
    waiters: list[_Waiter] = field(default_factory=list)

    @property
    def is_wanted(self) -> bool:
        return any(waiter.is_wanted() for waiter in self.waiters)

    @property
    def x_request_ids(self) -> list[str]:
        return [waiter.x_request_id for waiter in tuple(self.waiters)]


class GrammarService:
    """Any thread may ask; the answers come on a compiler's thread, or at once on the asker's."""

    def __init__(
        self,
        vocabulary: VocabularySource,
        *,
        max_compilers: int = MAX_COMPILERS,
        max_compile_seconds: float = MAX_COMPILE_SECONDS,
    ) -> None:
        self._vocabulary_source = vocabulary
        self._max_compilers = max_compilers
        self._max_compile_seconds = max_compile_seconds
        self._changed = threading.Condition()
        # All below is guarded by the condition's lock.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._tasks: dict[bytes, _Task] = {}  # that wait or are being compiled
        self._waiting: list[_Task] = []
        self._running: Counter[str] = Counter()  # tasks by client
        self._processes: set[CompilerProcess] = set()  # one for each compiler
        self._num_idle = 0
        self._is_closed = False
        self._numbers = count()
        self._vocabulary = self._build_vocabulary()

    def compile(
        self,
        job: GrammarJob,
        client_id: str,
        is_wanted: Callable[[], bool],
        deliver: Deliver,
        x_request_id: str = "",
    ) -> None:
        """Calls ``deliver`` once with the grammar or why there is none, unless nobody wants it any more."""
        outcome = self._find_or_enqueue(job, client_id, _Waiter(is_wanted, deliver, x_request_id))
        if outcome is not None:
            deliver(outcome)

    def spell(self, text: bytes) -> list[int]:
        """Returns tokens that write exactly these bytes, as a grammar reads them. Raises ApiError."""
        if isinstance(self._vocabulary, ApiError):
            raise self._vocabulary
        return self._vocabulary.tokenize_bytes(text)

    def close(self) -> None:
        """Ends all compilers; what waits is not answered."""
        with self._changed:
            self._is_closed = True
            processes = list(self._processes)
            self._changed.notify_all()
        for process in processes:
            process.close()

    def _build_vocabulary(self) -> LLTokenizer | ApiError:
        """Built at load, as all Python threads wait for it."""
        try:
            return build_vocabulary(self._vocabulary_source)
        except GrammarError as error:
            return InvalidRequestError(f"No form can be enforced: {error}.")

    # --- tasks -----------------------------------------------------------------------------------

    def _find_or_enqueue(self, job: GrammarJob, client_id: str, waiter: _Waiter) -> Outcome | None:
        if isinstance(self._vocabulary, ApiError):
            return InvalidRequestError(self._vocabulary.message, param=job.param)
        try:
            key = hashlib.sha256(job.to_json()).digest()
        except InvalidRequestError as error:
            return error
        with self._changed:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key].outcome
            task = self._tasks.get(key)
            if task is None:
                task = self._tasks[key] = _Task(key, job, client_id, next(self._numbers))
                self._waiting.append(task)
                self._wake_compiler()
            task.waiters.append(waiter)
        return None

    def _wake_compiler(self) -> None:
        if self._num_idle < len(self._waiting) and len(self._processes) < self._max_compilers:
            process = CompilerProcess(self._vocabulary_source, self._max_compile_seconds)
            self._processes.add(process)
            start_with_stack(TRUSTED_STACK_BYTES, lambda: self._work(process), "grammar")
        else:
            self._changed.notify()

    def _take(self, process: CompilerProcess) -> _Task | None:
        """Waits for a task that may begin; None when the compiler is to end."""
        with self._changed:
            while not self._is_closed:
                if (task := self._next_task()) is not None:
                    return task
                self._num_idle += 1
                is_called = self._changed.wait(_MAX_IDLE_SECONDS)
                self._num_idle -= 1
                if not is_called and not self._waiting and len(self._processes) > 1:
                    break
            self._processes.discard(process)
        return None

    def _next_task(self) -> _Task | None:
        """The oldest of the client with the fewest at work; one compiler is kept for clients with none."""
        self._drop_unwanted()
        if not self._waiting:
            return None
        task = min(self._waiting, key=lambda each: (self._running[each.client_id], each.number))
        num_free = self._max_compilers - self._running.total()
        if self._running[task.client_id] and num_free <= 1:
            return None
        self._waiting.remove(task)
        self._running[task.client_id] += 1
        return task

    def _drop_unwanted(self) -> None:
        unwanted = [task for task in self._waiting if not task.is_wanted]
        for task in unwanted:
            self._waiting.remove(task)
            del self._tasks[task.key]

    # --- compilers -----------------------------------------------------------------------------------

    def _work(self, process: CompilerProcess) -> None:
        yield_to_others()
        while (task := self._take(process)) is not None:
            try:
                done = self._compile(task, process)
            except BaseException as error:  # the loop's own edge: a panic in native code is no Exception
                log.error("compiling a grammar failed", x_request_ids=task.x_request_ids, exc_info=error)
                done = _Kept(ServerSideError("The server failed to compile this request's grammar."))
            self._finish(task, done)
        process.close()

    def _compile(self, task: _Task, process: CompilerProcess) -> _Kept | None:
        """None where nobody waits for it any more."""
        verdict = process.compile(task.job, lambda: task.is_wanted)
        if isinstance(verdict, Abandoned):
            return None
        if not isinstance(verdict, Compiled):
            return _Kept(verdict)
        assert isinstance(self._vocabulary, LLTokenizer)
        return _Kept(build_grammar(self._vocabulary, verdict.source), verdict.seconds)

    def _finish(self, task: _Task, done: _Kept | None) -> None:
        with self._changed:
            self._running[task.client_id] -= 1
            self._running += Counter()  # forgets the clients with none
            if done is None and task.is_wanted:  # somebody came just when it was given up
                self._waiting.append(task)
            else:
                del self._tasks[task.key]
            if done is not None:
                self._keep(task.key, done)
            self._changed.notify_all()
        if done is not None:
            for waiter in task.waiters:
                waiter.deliver(done.outcome)

    def _keep(self, key: bytes, done: _Kept) -> None:
        if isinstance(
            done.outcome, CompiledGrammar | InvalidRequestError
        ):  # else: it may go better next time
            self._kept[key] = done
        while len(self._kept) > MAX_KEPT or (
            len(self._kept) > 1 and sum(each.seconds for each in self._kept.values()) > MAX_KEPT_SECONDS
        ):
            self._kept.popitem(last=False)
