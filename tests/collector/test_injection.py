"""No text from outside is ever SQL (FAULTS C18)."""

import pytest
from aiohttp import ClientSession

from .kit import event, get, items, send, turn

INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE events; --",
    '"; DROP TABLE sessions; --',
    "1); DELETE FROM events; --",
    "' UNION SELECT name FROM sqlite_master --",
    "%' ESCAPE '",
    "\\' OR 1=1 --",
    "x' AND load_extension('evil') --",
    "'||(SELECT sqlite_version())||'",
    "?1",
    ":name",
    "$project",
    "NULL",
    "\0'; DROP TABLE events; --",
    "ORDER BY 1; PRAGMA writable_schema=ON",
]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_no_field_is_sql(client: ClientSession, text: str) -> None:
    """SQL in any field of an event is stored as text and found again as text (FAULTS C18)."""
    fields = ["session_id", "distinct_id", "trace_id", "turn_id", "status", "started_at"]
    await send(client, turn(text, **dict.fromkeys(fields, text)), event(text, client_id=text))
    await send(client, event("sdk_report", client_id=text, lost={text: 1}, pointers={text: text}))
    await send(client, turn(session_id="other"))
    _, stats = await get(client, "/api/stats")
    assert stats["events"] == {"turn": 2, "sdk_report": 1, text: 1}
    assert (stats["sessions"], stats["lost"]) == (3, {text: 1})


@pytest.mark.parametrize("text", INJECTIONS)
async def test_no_parameter_is_sql(client: ClientSession, text: str) -> None:
    """SQL in any parameter finds what is called so, which is nothing, and changes nothing (FAULTS C18)."""
    await send(client, turn())
    for path, name in [("/api/sessions", "q"), ("/api/events", "name")]:
        assert await items(client, path, **{name: text}) == []
    for path, name in [("/api/sessions", "limit"), ("/api/sessions", "cursor"), ("/api/events", "cursor")]:
        assert (await get(client, path, **{name: text}))[0] == 400
    encoded = "".join(f"%{byte:02X}" for byte in text.encode())
    for path in ("/api/sessions/", "/api/turns/", "/api/users/"):
        async with client.get(path + encoded) as response:
            assert response.status == 404
    assert len(await items(client, "/api/events")) == 1
