"""One exchange of a user and an assistant: what happens in it is collected here and becomes one event."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

from lumina_async._calls import Meta, new_llm, new_tool, run_once
from lumina_async._draft import Draft, TurnState
from lumina_async._events import Origin
from lumina_async._identity import current_turn, set_current_turn
from lumina_async._inside import enter_turn
from lumina_async._observe import observe
from lumina_async._retrieval import RetrievalInfo
from lumina_async._seam import Recorder
from lumina_async._trace import traceparent
from lumina_async._values import fields_of, identifier

T = TypeVar("T")
StreamT = TypeVar("StreamT", bound=AsyncIterator[Any])
Work = Callable[[], Awaitable[T]] | Awaitable[T]


class Turn:
    """One user message and the assistant's reply.

    Use it by `async with session.turn() as t:`, or by hand with `await t.finish()` in a `finally`. Leaving the block,
    or `finish`, offers one event to the queue and never waits for the network; a turn whose stream is still open waits
    for its end, a minute at most. Every method may be called at any time and from several tasks; after the end it does
    nothing, but a wrapped function always runs. A cancelled turn tells no error: nothing went wrong, and the message of
    a cancellation (anyio's, a framework's) names tasks and files of the machine.

    Attributes:
        parent: The turn that was current when this one began, or None; of those around it, the ones that are open.
        draft: What was collected so far; for this package alone.
    """

    def __init__(self, recorder: Recorder, origin: Origin, seq: int, links: Sequence[Mapping[str, str]] = ()) -> None:
        self.parent = current_turn()
        around = self.parent
        # Jobs that each start the next would hold every turn that there was.
        while around is not None and around.parent is not None and around.parent.is_finished:
            around.parent = around.parent.parent
        self.draft = Draft(recorder, origin, seq, None if self.parent is None else self.parent.turn_id, links)
        self.draft.begin()

    @property
    def turn_id(self) -> str:
        """16 hex digits, the W3C span id of this turn."""
        return self.draft.turn_id

    @property
    def session_id(self) -> str | None:
        """The session this turn belongs to."""
        return self.draft.origin.session_id

    @property
    def seq(self) -> int:
        """1, 2, 3 within a session, as far as this process knows it; across workers a hint."""
        return self.draft.seq

    @property
    def started_ns(self) -> int:
        """When it began, in nanoseconds since the epoch."""
        return self.draft.started_ns

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` header value for calls made within this turn."""
        return traceparent(self.draft.origin.trace_id or "", self.turn_id)

    @property
    def is_finished(self) -> bool:
        """Whether the turn has ended; one that is held for its stream has."""
        return self.draft.is_over()

    async def __aenter__(self) -> "Turn":
        self.draft.begin()
        self.draft.is_block = True
        set_current_turn(self)
        enter_turn(self.draft.is_over)
        if self.draft.is_untold:
            try:
                await self.draft.tell_start()
            # Cancelled here, the block is never entered, and nothing else would end this turn.
            except BaseException as error:
                await self.__aexit__(type(error), error, None)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Nothing is awaited here: under FastAPI every await after a client's disconnect raises again.
        if current_turn() is self:
            set_current_turn(self.parent)
        self.draft.leave(error)

    @overload
    async def wrap_llm(self, fn: Work[T], meta: Mapping[str, Any] | None = None, /, **more: Any) -> T: ...
    @overload
    async def wrap_llm(self, fn: StreamT, meta: Mapping[str, Any] | None = None, /, **more: Any) -> StreamT: ...
    @overload
    async def wrap_llm(self, fn: Callable[[], T], meta: Mapping[str, Any] | None = None, /, **more: Any) -> T: ...
    async def wrap_llm(self, fn: Any, meta: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Run a call of a model and record its latency, its error and, for a stream, its chunks.

        Args:
            fn: An async callable, an awaitable, a plain callable or an async iterator. It runs exactly once, also when
                nothing is recorded.
            meta: `model`, `prompt_id`, `provider`, `input`, `output` (a value, or a function of the result), and
                anything else as metadata.
            more: The same as keywords, which win over the mapping.

        Returns:
            The very object that `fn` gave. An iterator comes back as a proxy that passes for it.

        Raises:
            BaseException: The very exception that `fn` raised.
        """
        draft = self.draft
        fields = fields_of(meta, more, draft.recorder.once)
        if not draft.takes("llm"):
            return await run_once(fn, draft.recorder.once)
        draft.add(llm := new_llm(draft.recorder.clock, fields))
        return await observe(draft, llm, fn, fields)

    @overload
    async def record_tool(self, name: str, fn: Work[T], meta: Meta = None, /, **more: Any) -> T: ...
    @overload
    async def record_tool(self, name: str, fn: StreamT, meta: Meta = None, /, **more: Any) -> StreamT: ...
    @overload
    async def record_tool(self, name: str, fn: Callable[[], T], meta: Meta = None, /, **more: Any) -> T: ...
    async def record_tool(self, name: str, fn: Any, meta: Meta = None, /, **more: Any) -> Any:
        """Run a call of a tool and record its latency and its error. Runs, returns and raises as `wrap_llm` does.

        Args:
            name: The tool.
            fn: What to run, as for `wrap_llm`.
            meta: `ToolCall`, or a mapping: `type`, `target`, `version`, `input`, `output` (a value, or a function of
                the result), and anything else as metadata.
            more: The same as keywords, which win.
        """
        draft = self.draft
        fields = fields_of(meta, more, draft.recorder.once)
        if not draft.takes("tool"):
            return await run_once(fn, draft.recorder.once)
        draft.add(tool := new_tool(draft.recorder.clock, name, fields))
        return await observe(draft, tool, fn, fields)

    async def add_retrieval(
        self,
        info: RetrievalInfo | Mapping[str, Any] | None = None,
        /,
        *,
        source: str | None = None,
        query: str | None = None,
        results: Iterable[Any] | None = None,
    ) -> None:
        """Add what was looked up for this exchange; each call adds one look-up.

        Args:
            info: `RetrievalInfo`, or a mapping with the names below.
            source: Where was looked, like `"docs"`.
            query: What was looked for: content.
            results: What was found: `RetrievalResult`, mappings with `id`, `score` and `content`, or objects with such
                attributes.
        """
        draft = self.draft
        if draft.collects("add_retrieval"):
            more = {"source": source, "query": query, "results": results}
            given = {key: value for key, value in more.items() if value is not None}
            fields = fields_of(info, given, draft.recorder.once)
            draft.retrievals.append(await draft.recorder.privacy.retrieval(fields, draft.notes))

    async def set_messages(self, messages: Any) -> None:
        """Give the transcript of this exchange; a later call replaces it.

        Args:
            messages: `Message` objects or mappings like `{"role": "user", "content": "..."}`; see `Message` for what
                content may be. They are read now, so changing them later changes nothing. What leaves depends on
                `capture_transcript`.
        """
        draft = self.draft
        if draft.collects("set_messages"):
            draft.messages = await draft.recorder.privacy.messages(messages, draft.notes)

    async def annotate(self, data: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Add facts of your own; of two with one key the last wins.

        Args:
            data: Any JSON-like values; what JSON cannot hold is converted, never by `repr`. The page knows
                `ui_session_id`, `ui_replay_url`, `feedback`, `feedback_score`, `helpful`, `flagged` and `usage`.
            more: The same as keywords, which win over the mapping.
        """
        draft = self.draft
        if draft.collects("annotate"):
            for key, value in fields_of(data, more, draft.recorder.once).items():
                draft.annotations[identifier(key) or "_"] = await draft.recorder.privacy.metadata(value, draft.notes)

    async def finish(self, error: BaseException | None = None) -> None:
        """End the turn: what `async with` does by itself. A second call does nothing; the network is never waited for.

        Args:
            error: What went wrong, when the app knows better than the last call of a model does.
        """
        self.finish_nowait(error)

    def finish_nowait(self, error: BaseException | None = None) -> None:
        """End the turn from code that cannot await. See `finish`."""
        self.draft.leave(error)

    def __del__(self) -> None:
        draft = getattr(self, "draft", None)
        if draft is not None and draft.state is TurnState.OPEN:
            draft.recorder.unfinished(draft.began)
