"""The tasks of the client's own: they inherit nothing, and they are silent when their loop is closed under them."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, cast

Work = Callable[[], Coroutine[Any, Any, None]]


def start_task(work: Work, name: str, context: contextvars.Context | None = None) -> "asyncio.Task[None]":
    """Run a coroutine function on the running loop.

    Args:
        work: What to run.
        name: Of the task, for those who debug.
        context: By default an empty one: the task must not keep alive, or show, the request that happened to start it.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(_Run(work, loop), name=name, context=context or contextvars.Context())
    # Who closes a loop without cancelling its tasks is told by asyncio of each that was "destroyed but pending". Ours
    # leave nothing undone: what they had in hand moves to the next loop, or is counted at exit. asyncio sets this
    # attribute for tasks of its own in the same way.
    setattr(task, "_log_destroy_pending", False)  # noqa: B010  (no type checker knows it)
    return task


async def _run(work: Work, loop: asyncio.AbstractEventLoop) -> None:
    # An eager task factory runs the first step before the caller knows its task.
    await asyncio.sleep(0)
    try:
        await work()
    except (GeneratorExit, Exception):
        # Collected with a closed loop, on which nothing can be cancelled or called any more.
        if not loop.is_closed():
            raise


class _Run(Coroutine[Any, Any, None]):
    """`_run`, made at its first step: Python warns of a coroutine that is collected, with its loop, before that."""

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self._work, self._loop = work, loop
        self._steps: Coroutine[Any, Any, None] | None = None

    def _begun(self) -> Coroutine[Any, Any, None]:
        if self._steps is None:
            self._steps = _run(self._work, self._loop)
        return self._steps

    def send(self, value: Any) -> Any:
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        return self._begun().throw(*error)

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._begun().__await__()


def end_task(task: "asyncio.Task[None]") -> None:
    """End a task: on another loop as soon as that runs again; on a closed one now, without waiting for anything."""
    loop = task.get_loop()
    if loop is asyncio.events._get_running_loop():
        task.cancel()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)
    elif not task.done():
        cast("Coroutine[Any, Any, None]", task.get_coro()).close()


class LastingTask:
    """A task that runs while it is wanted: one at a time, and another where somebody cancelled it in between.

    Args:
        work: What it runs.
        name: Of the task.
    """

    def __init__(self, work: Work, name: str) -> None:
        self._work, self._name = work, name
        self._task: asyncio.Task[None] | None = None
        self._is_wanted_again = False

    @property
    def is_running(self) -> bool:
        """Whether it runs, and nobody has cancelled it."""
        return self._task is not None and not self._task.done() and not self._task.cancelling()

    @property
    def is_current(self) -> bool:
        """Whether this code runs in it."""
        return self._task is not None and self._task is asyncio.current_task(self._task.get_loop())

    def ensure(self) -> None:
        """Run it on the running loop."""
        if self._task is None or self._task.done():
            self._task = start_task(self._work, self._name)
            self._task.add_done_callback(self._ended)
        else:
            # An app may cancel every task there is: this one is on its way out, and still wanted.
            self._is_wanted_again = self._task.cancelling() > 0

    def release(self) -> "asyncio.Task[None] | None":
        """Want it no more; return what still runs."""
        task, self._task, self._is_wanted_again = self._task, None, False
        return task

    def clean_up(self) -> None:
        """Clean up at exit what is left on a loop that was closed without cancelling its tasks."""
        if self._task is not None and self._task.get_loop().is_closed():
            end_task(self._task)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task is self._task and self._is_wanted_again:
            self._is_wanted_again = False
            self.ensure()


class TaskSet:
    """Tasks that end with the block they were started in, cancelled; then `aclose` is awaited.

    Unlike an `asyncio.TaskGroup` it may be collected half-way, together with a loop that was closed under it: then
    nothing is awaited, and `aclose` must get by without.

    Args:
        aclose: What is closed when the last task has ended.
    """

    def __init__(self, aclose: Callable[[], Awaitable[None]]) -> None:
        self._aclose = aclose
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Work, name: str) -> "asyncio.Task[None]":
        """Run a coroutine function as one of these tasks."""
        task = start_task(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __aenter__(self) -> "TaskSet":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            for task in list(self._tasks):
                end_task(task)
            if self._tasks and kind is not GeneratorExit:
                await asyncio.wait(self._tasks)
        finally:
            await self._aclose()
