"""The names of the current turn in what the app logs, with the real `logging` and the real structlog."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue

import pytest
import structlog
from support import recording

from lumina_async.log_context import TurnFilter, add_turn

FORMAT = "%(message)s|%(session_id)s|%(turn_id)s|%(trace_id)s"


@pytest.fixture
def written() -> StringIO:
    return StringIO()


@pytest.fixture
def log(written: StringIO) -> Iterator[logging.Logger]:
    """A logger of its own, whose handler has the filter."""
    with logging_to(writing(written)) as logger:
        yield logger


def writing(stream: StringIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(TurnFilter())
    return handler


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.log_context")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


async def test_a_record_names_its_turn_also_below_it(log: logging.Logger, written: StringIO) -> None:
    """In the block, in what it calls, and in the tasks that it starts."""

    async def deeper() -> None:
        logging.getLogger(f"{log.name}.deeper").info("deeper")

    async with recording() as (client, _):
        session = await client.session.start(session_id="chat_42")
        async with session.turn() as turn:
            log.info("here")
            await asyncio.create_task(deeper())
    names = f"chat_42|{turn.turn_id}|{session.trace_id}"
    assert written.getvalue().splitlines() == [f"here|{names}", f"deeper|{names}"]


async def test_a_record_outside_a_turn_has_empty_names(log: logging.Logger, written: StringIO) -> None:
    """Before, after the end though still in the block, and behind it: the format works, and names nothing."""
    async with recording() as (client, _):
        session = await client.session.start()
        log.info("before")
        async with session.turn() as turn:
            await turn.finish()
            log.info("finished")
        log.info("behind")
    assert written.getvalue().splitlines() == ["before|||", "finished|||", "behind|||"]


async def test_turns_at_once_keep_their_names_apart(log: logging.Logger, written: StringIO) -> None:
    """Fifty conversations that log in turns: each line has the names of its own."""

    async def converse(number: int) -> None:
        async with client.scope(session_id=f"chat_{number}"):
            session = await client.session.start()
            async with session.turn() as turn:
                await asyncio.sleep(0)
                log.info("%s|%s|%s", session.session_id, turn.turn_id, session.trace_id)

    async with recording() as (client, _):
        await asyncio.gather(*(converse(number) for number in range(50)))
    lines = [line.split("|") for line in written.getvalue().splitlines()]
    assert len(lines) == 50
    assert all(said[:3] == said[3:] for said in lines)


async def test_a_queue_handler_takes_the_names_along(written: StringIO) -> None:
    """The thread that writes is in no turn; the filter on the `QueueHandler` has read them before."""
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    sender, listener = QueueHandler(records), QueueListener(records, writing(written))
    sender.addFilter(TurnFilter())
    listener.start()
    try:
        with logging_to(sender) as logger:
            async with recording() as (client, _):
                async with (await client.session.start(session_id="chat_42")).turn() as turn:
                    logger.info("queued")
    finally:
        listener.stop()
    assert written.getvalue().startswith(f"queued|chat_42|{turn.turn_id}|")


async def test_what_the_app_gave_a_record_stays(log: logging.Logger, written: StringIO) -> None:
    """Its own `session_id` is not ours to replace."""
    async with recording() as (client, _):
        async with (await client.session.start(session_id="chat_42")).turn() as turn:
            log.info("mine", extra={"session_id": "of the app"})
    assert written.getvalue().startswith(f"mine|of the app|{turn.turn_id}|")


async def test_structlog_gets_the_names_in_a_turn_and_nothing_outside(written: StringIO) -> None:
    """A processor as structlog knows it; the app's own values stay."""
    logger = structlog.wrap_logger(
        structlog.WriteLogger(written), processors=[add_turn, structlog.processors.JSONRenderer()]
    )
    async with recording() as (client, _):
        session = await client.session.start(session_id="chat_42")
        async with session.turn() as turn:
            logger.info("here", trace_id="of the app")
            await logger.ainfo("in a thread")
        logger.info("behind")
    here, thread, behind = [json.loads(line) for line in written.getvalue().splitlines()]
    names = {"session_id": "chat_42", "turn_id": turn.turn_id}
    assert here == {"event": "here", **names, "trace_id": "of the app"}
    assert thread == {"event": "in a thread", **names, "trace_id": session.trace_id}
    assert behind == {"event": "behind"}


def test_structlog_is_not_imported() -> None:
    """Who logs with the standard library needs no structlog, and pays nothing for it."""
    code = "import sys, lumina_async.log_context; print('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
