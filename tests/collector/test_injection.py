"""No text from outside is ever SQL (FAULTS C18)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from faults.forms import form
from hypothesis import HealthCheck, given, settings, strategies as st

from lumina_async.collector import sqlite_read
from lumina_async.collector.connections import open_reader, open_writer
from lumina_async.collector.sqlite_write import Batch, write
from lumina_async.collector.store import Row

from .kit import event, get, items, send, turn

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aA%_*'\"\0\\[]"), min_size=1, max_size=12)
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
    "1; ATTACH DATABASE '/tmp/x' AS x; --",
    "' AND 1=CAST((SELECT body FROM events LIMIT 1) AS INTEGER) --",
    "' AND randomblob(1000000000) --",
    "' GROUP BY project HAVING 1=1 --",
    "x' COLLATE NOCASE --",
    "');INSERT INTO counters VALUES('default','event','x',9);--",
    "' OR project <> 'default",
    "*/ OR 1=1 /*",
    "`; DROP TABLE users; --",
    "[events]",
    "0x27204f522031",
    "\u0027 OR 1=1 --",
    "\uff07 OR 1=1 --",
    "%",
    "_____",
    "%%%%",
    "a* OR b*",
    "NEAR(a b, 5)",
    "body : secret",
    '"unbalanced',
    "^start AND NOT end",
    "{col1 col2} : x",
    "$.a.b[0]",
    "json_extract(body,'$')",
    "@param",
    "#{project}",
    "{0.__class__}",
    "%(project)s",
    "%s%n%x",
    "\r\nSELECT 1",
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_writer(tmp_path / "l.db")) as writer:
        writer.execute("PRAGMA synchronous = OFF")
        yield writer


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
    for path in ("/api/sessions", "/api/events"):
        status, page = await get(client, path, project=text)
        assert (page.get("items"), status) in (([], 200), (None, 400))
    for path in ("/api/sessions/", "/api/turns/", "/api/users/"):
        async with client.get(path + encoded) as response:
            assert response.status == 404
    assert len(await items(client, "/api/events")) == 1


@pytest.mark.parametrize("statement", ["DELETE FROM events", "DROP TABLE events", "CREATE TABLE x (a)", "VACUUM"])
def test_a_reader_can_change_nothing(tmp_path: Path, statement: str) -> None:
    """Were a text ever to become SQL, it could not write (FAULTS C18)."""
    with closing(open_writer(tmp_path / "l.db")), closing(open_reader(tmp_path / "l.db")) as reader:
        assert reader.execute("PRAGMA query_only").fetchone() == (1,)
        assert reader.execute("PRAGMA trusted_schema").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute(statement)


@settings(max_examples=form(100, 5000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.sets(TEXT, min_size=1, max_size=4), sought=TEXT, data=st.data())
def test_a_search_finds_the_text_itself(connection: sqlite3.Connection, ids: set[str], sought: str, data: Any) -> None:
    """Any text finds the ids that hold it, in any case of ASCII, and no others: none of it is syntax (C18)."""
    project = uuid4().hex
    rows = [
        Row(event_id=f"{project}-{number}", name="turn", body="{}", session_id=one) for number, one in enumerate(ids)
    ]
    write(connection, [Batch(project=project, rows=rows, received_at="2026", rejected=0)])
    text = data.draw(st.sampled_from([sought, *ids, *(one[1:] or one for one in ids)]))
    found = {session.session_id for session in sqlite_read.sessions(connection, project, 10, None, text).items}
    fold = str.maketrans(ascii_uppercase, ascii_lowercase)
    assert found == {one for one in ids if text.translate(fold) in one.translate(fold)}
