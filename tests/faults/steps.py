"""Cancels a coroutine at one of its suspensions: run it for 0, 1, 2, ... until it ends without being cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Literal

import anyio
import attrs

Kind = Literal["native", "anyio"]
KINDS: tuple[Kind, ...] = ("native", "anyio")
# A coroutine that suspends more often than this waits in a loop.
MAX_STEPS = 500


@attrs.define
class _Steps:
    """Awaits a coroutine, and calls `cancel` when it suspends for the nth time."""

    coroutine: Coroutine[Any, Any, Any]
    number: int
    cancel: Callable[[], object]
    is_reached: bool = False

    def __await__(self) -> Generator[Any, Any, Any]:
        give: Callable[[], Any] = lambda: self.coroutine.send(None)  # noqa: E731
        for number in range(MAX_STEPS):
            try:
                waits_for = give()
            except StopIteration as stop:
                return stop.value
            if number == self.number:
                self.is_reached = True
                self.cancel()
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001  (passed on as it is)
                thrown = error
                give = lambda: self.coroutine.throw(thrown)  # noqa: B023, E731
            else:
                give = lambda: self.coroutine.send(None)  # noqa: E731
        raise AssertionError("the coroutine goes on suspending")


async def cancelled_at(number: int, kind: Kind, work: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    """Run a coroutine function in a task of its own and cancel it at its nth suspension, from 0.

    Returns:
        Whether it suspended that often; if so it was cancelled.

    Raises:
        AssertionError: It swallowed the cancellation.
    """
    steps: list[_Steps] = []

    async def by_task() -> None:
        task = asyncio.current_task()
        assert task is not None
        steps.append(_Steps(work(), number, task.cancel))
        await steps[0]

    async def by_scope() -> None:
        with anyio.CancelScope() as scope:
            steps.append(_Steps(work(), number, scope.cancel))
            await steps[0]
        assert scope.cancelled_caught is steps[0].is_reached, f"swallowed at {number}"

    task = asyncio.create_task(by_task() if kind == "native" else by_scope())
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    if kind == "native":
        assert task.cancelled() is steps[0].is_reached, f"swallowed at {number}"
    return steps[0].is_reached


async def at_every_step(kind: Kind, trial: Callable[[int], Awaitable[bool]]) -> int:
    """Await `trial` for 0, 1, 2, ... until it says that nothing was cancelled; return how often something was."""
    for number in range(MAX_STEPS):
        if not await trial(number):
            return number
    raise AssertionError("there is always another suspension")
