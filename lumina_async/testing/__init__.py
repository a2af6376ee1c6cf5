"""The kit for tests: a client that records into memory, a server that fails on purpose, a clock that stands still.

    async with recording() as lumina:
        async with (await lumina.session.start()).turn() as turn:
            await turn.annotate(plan="pro")
        await lumina.settled()
        assert lumina.turns[0].annotations == {"plan": "pro"}

With pytest the fixtures `lumina` and `lumina_collector` are there by themselves; see `lumina_async.pytest_plugin`.
"""

from lumina_async._outcome import Answer
from lumina_async._transport import Payload
from lumina_async.testing.clock import FakeClock, until
from lumina_async.testing.ingest import Cut, FaultyIngest, Received, Reply
from lumina_async.testing.ledger import assert_ledger_closed
from lumina_async.testing.memory import MemoryTransport, Recording, memory_config, recording, recording_process
from lumina_async.testing.recorded import (
    RecordedCall,
    RecordedError,
    RecordedEvent,
    RecordedFeedback,
    RecordedIdentify,
    RecordedRetrieval,
    RecordedSession,
    RecordedTool,
    RecordedTurn,
)

__all__ = [
    "Answer",
    "Cut",
    "FakeClock",
    "FaultyIngest",
    "MemoryTransport",
    "Payload",
    "Received",
    "RecordedCall",
    "RecordedError",
    "RecordedEvent",
    "RecordedFeedback",
    "RecordedIdentify",
    "RecordedRetrieval",
    "RecordedSession",
    "RecordedTool",
    "RecordedTurn",
    "Recording",
    "Reply",
    "assert_ledger_closed",
    "memory_config",
    "recording",
    "recording_process",
    "until",
]
