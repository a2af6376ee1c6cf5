"""What a person does at the input of a chat before anything is sent: typing, hesitating, giving up."""

from typing import TYPE_CHECKING, Any

from lumina_async._events import EventName, Origin
from lumina_async._protocols import UIAnalyticsProvider
from lumina_async._trace import trace_id_of
from lumina_async._values import identifier

if TYPE_CHECKING:
    from lumina_async._client import LuminaClient


class ChatInputTracker:
    """Follows the input of one chat. Never raises into a request; the text itself never leaves.

    Args:
        ui_provider: Is told of each event too, by `capture_event`.
        session_id: The session the chat belongs to.
        client: Where the events are recorded.
    """

    def __init__(self, ui_provider: UIAnalyticsProvider, session_id: str, client: "LuminaClient | None" = None) -> None:
        if client is None:
            from lumina_async._client import Lumina

            client = Lumina
        self._ui, self._client = ui_provider, client
        self._session_id = identifier(session_id) or "unknown"
        self._started: int | None = None

    async def on_input_start(self) -> None:
        """The person begins to type. Further calls before the message is sent or given up change nothing."""
        if self._started is None:
            self._started = self._client.recorder.clock.monotonic_ns()
            await self._tell(EventName.CHAT_INPUT_STARTED, {})

    async def on_message_submit(self, message_id: str, text: str) -> None:
        """The person sends the message: its length and the time it took are recorded."""
        facts = self._facts(text) | {"message_id": identifier(message_id)}
        await self._tell(EventName.CHAT_MESSAGE_SUBMITTED, facts)

    async def on_input_abandoned(self, text: str) -> None:
        """The person leaves without sending: recorded with a keyed hash, so that equal texts are seen to be equal.

        Without a beginning, or without a text, nothing was given up and nothing is recorded.
        """
        if self._started is not None and text:
            facts = self._facts(text) | {"partial_content_hash": self._client.recorder.hash_text(text)}
            await self._tell(EventName.CHAT_INPUT_ABANDONED, facts)
        self._started = None

    def _facts(self, text: str) -> dict[str, Any]:
        now, started = self._client.recorder.clock.monotonic_ns(), self._started
        self._started = None
        duration = None if started is None else (now - started) // 1_000_000
        return {"typing_duration_ms": duration, "character_count": len(text)}

    async def _tell(self, name: EventName, facts: dict[str, Any]) -> None:
        recorder = self._client.recorder
        scope = self._client.session.scopes.current()
        origin = Origin(
            distinct_id=scope.distinct_id,
            anonymous=scope.user_id is None,
            session_id=self._session_id,
            trace_id=_trace_id(self._session_id),
        )
        recorder.emit(name, origin, facts)
        if recorder.hooks is not None:
            told = {key: value for key, value in facts.items() if value is not None}
            recorder.hooks.tell_capture(self._ui, name.value, told | {"lumina_session_id": self._session_id})


def _trace_id(session_id: str) -> str:
    """Return the trace id of a session: its id itself where that is one."""
    is_trace_id = len(session_id) == 32 and all(digit in "0123456789abcdef" for digit in session_id)
    return session_id if is_trace_id else trace_id_of(session_id)
