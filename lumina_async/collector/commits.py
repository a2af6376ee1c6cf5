"""Batches on their way into the file: those that arrive while a commit runs go into the next one together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from lumina_async.collector.sqlite_write import Batch
from lumina_async.collector.store import Added

_GROUP_ROWS = 5000
_GROUP_CHARACTERS = 8 * 1024 * 1024
"""So that one commit does not make the log of changes longer than it may be."""

_Outcomes = list[Added | Exception]
_Waiting = tuple[Batch, "asyncio.Future[Added]"]


@attrs.define(eq=False)
class Commits:
    """Groups batches, so that one sync to disk serves many senders."""

    run: "Callable[[Sequence[Batch]], asyncio.Future[_Outcomes]]"
    """Commits batches in the writer's thread. A future and not a task: no sweep over all tasks can cancel it."""
    translated: Callable[[BaseException], BaseException]
    _waiting: deque[_Waiting] = attrs.field(init=False, factory=deque[_Waiting])
    _running: "asyncio.Future[_Outcomes] | None" = attrs.field(init=False, default=None)

    def add(self, batch: Batch) -> "asyncio.Future[Added]":
        """Return what becomes of a batch; whoever waits for it may be cancelled, the commit is not."""
        done: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, done))
        if self._running is None:
            self._start()
        return done

    async def finish(self) -> None:
        """Wait until nothing waits and nothing runs."""
        while self._running is not None:
            await asyncio.wait([self._running])
            await asyncio.sleep(0)

    def _start(self) -> None:
        group = self._next_group()
        if not group:
            self._running = None
            return
        self._running = self.run([batch for batch, _ in group])
        self._running.add_done_callback(partial(self._done, group))

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        rows = characters = 0
        while self._waiting:
            batch, _ = self._waiting[0]
            rows += len(batch.rows)
            characters += sum(len(row.body) for row in batch.rows)
            if group and (rows > _GROUP_ROWS or characters > _GROUP_CHARACTERS):
                break
            group.append(self._waiting.popleft())
        return group

    def _done(self, group: Sequence[_Waiting], commit: "asyncio.Future[_Outcomes]") -> None:
        error = commit.exception()
        outcomes = commit.result() if error is None else [error] * len(group)
        for (_, done), outcome in zip(group, outcomes, strict=True):
            if done.done():  # Its sender was cancelled; the rows are stored all the same.
                continue
            if isinstance(outcome, Added):
                done.set_result(outcome)
            else:
                done.set_exception(self.translated(outcome))
        self._start()
