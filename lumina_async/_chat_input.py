"""What a person does at the input of a chat before anything is sent: typing, hesitating, giving up."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lumina_async._events import EventName, Origin
from lumina_async._protocols import UIAnalyticsProvider
from lumina_async._tokens import text_digest
from lumina_async._trace import trace_id_of
from lumina_async._values import identifier

if TYPE_CHECKING:
    from lumina_async._client import LuminaClient
    from lumina_async._recorder import Recorder


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
            self._tell(EventName.CHAT_INPUT_STARTED, {})

    async def on_message_submit(self, message_id: str, text: str) -> None:
        """The person sends the message: its length and the time it took are recorded."""
        facts = self._facts(_text(text)) | {"message_id": identifier(message_id)}
        self._tell(EventName.CHAT_MESSAGE_SUBMITTED, facts)

    async def on_input_abandoned(self, text: str) -> None:
        """The person leaves without sending: recorded with a keyed hash, so that equal texts are seen to be equal.

        Without a beginning, or without more than white space, nothing was given up and nothing is recorded.
        """
        text = _text(text)
        if self._started is not None and text.strip():
            hashed = self._client.recorder.hash_digest(text_digest(text))
            self._tell(EventName.CHAT_INPUT_ABANDONED, self._facts(text) | {"partial_content_hash": hashed})
        self._started = None

    def _facts(self, text: str) -> dict[str, Any]:
        now, started = self._client.recorder.clock.monotonic_ns(), self._started
        self._started = None
        duration = None if started is None else (now - started) // 1_000_000
        return {"typing_duration_ms": duration, "character_count": len(text)}

    def _tell(self, name: EventName, facts: Mapping[str, Any]) -> None:
        scope = self._client.session.scopes.current()
        origin = Origin(
            distinct_id=scope.distinct_id,
            anonymous=scope.user_id is None,
            session_id=self._session_id,
            trace_id=_trace_id(self._session_id),
        )
        record_chat_input(self._client.recorder, name, origin, facts, self._ui)


def record_chat_input(
    recorder: "Recorder",
    name: EventName,
    origin: Origin,
    facts: Mapping[str, Any],
    ui: UIAnalyticsProvider | None = None,
) -> None:
    """Record an event of a chat's input, and tell a UI provider of it; without one, that of the client.

    What sampling leaves out, the provider is not told of either.
    """
    recorder.emit(name, origin, facts)
    if recorder.hooks is None or not recorder.samples(name, origin):
        return
    whose = {"distinct_id": origin.distinct_id, "anonymous": origin.anonymous, "lumina_session_id": origin.session_id}
    told = {key: value for key, value in facts.items() if value is not None} | whose
    if ui is None:
        recorder.hooks.tell_ui("capture_event", name.value, told)
    else:
        recorder.hooks.tell_capture(ui, name.value, told)


def _text(text: object) -> str:
    """Return what was typed; whatever is no text counts as nothing, for the tracker never raises."""
    return text if isinstance(text, str) else ""


def _trace_id(session_id: str) -> str:
    """Return the trace id of a session: its id itself where that is one."""
    is_trace_id = len(session_id) == 32 and all(digit in "0123456789abcdef" for digit in session_id)
    return session_id if is_trace_id else trace_id_of(session_id)
