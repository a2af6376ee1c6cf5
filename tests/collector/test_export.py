"""The export as a table for a spreadsheet (FAULTS C20)."""

import csv
import io

import pytest
from aiohttp import ClientSession

from lumina_async.collector.csv_export import COLUMNS, cell, header, rows

from .kit import event, get, send, turn

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")']
FORMULAS += ["-", "=", "@", "+cmd", "-2+3", "=\u202e1"]


async def table(client: ClientSession) -> list[dict[str, str]]:
    async with client.get("/api/export", params={"format": "csv"}) as response:
        text = (await response.read()).decode("utf-8-sig")
        assert (response.status, response.content_type) == (200, "text/csv")
        assert response.headers["Content-Disposition"] == 'attachment; filename="lumina.csv"'
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
async def test_no_cell_is_a_formula(client: ClientSession, text: str) -> None:
    """Whatever a sender puts into any field, a spreadsheet shows it as text (FAULTS C20)."""
    fields = ["distinct_id", "session_id", "turn_id", "status", "ts", "started_at", "seq", "latency_ms"]
    error, said = {"type": text}, [{"role": role, "content": text} for role in ("user", "assistant")]
    odd = turn(**dict.fromkeys(fields, text), error=error, messages=said, llm=[{"model": text}])
    await send(client, odd, event(text))
    first, second = await table(client)
    assert [first[name] for name in (*fields, "error", "user", "assistant", "model")] == [f"'{text}"] * 12
    assert second["name"] == f"'{text}"
    for row in (first, second):
        assert not [value for value in row.values() if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


@pytest.mark.parametrize(("value", "expected"), [("plain", "plain"), (None, ""), (-1, "'-1"), (5, "5"), ([], "[]")])
def test_a_cell_is_text(value: object, expected: str) -> None:
    """A number of a sender is no exception; what nests deeper than can be written says so."""
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    assert (cell(value), cell(deep)) == (expected, "[too deep]")


async def test_every_event_is_a_row_and_nothing_leaves_its_cell(client: ClientSession) -> None:
    """Quotes, separators and line breaks stay in their cell; the whole event is the last column (FAULTS C20)."""
    texts = ['a","b', "a\r\nb", "a;b\tc", '"', '"";=1', "\0", "ä€😀"]
    await send(client, *[turn(text) for text in texts], event("ping", llm="none", messages=[3, {"role": [1]}], error=2))
    *turns, ping = await table(client)
    assert [row["user"] for row in turns] == texts
    assert [set(row) for row in turns] == [set(COLUMNS)] * len(texts)
    assert (ping["name"], ping["error"], ping["event"][:7]) == ("ping", "2", '{"v":1,')


async def test_what_calls_of_models_told_has_columns(client: ClientSession) -> None:
    """Tokens and costs are sums, and nothing where nothing is known; an outcome that is not `completed` comes first."""
    first = {
        "provider": "openai",
        "outcome": "completed",
        "usage": {"input_tokens": 10, "output_tokens": 2},
        "cost": 0.25,
    }
    second = {"provider": "x", "prompt_id": "v3", "outcome": "stopped", "usage": {"input_tokens": 5}, "cost": 0.5}
    odd = {"provider": [], "outcome": None, "usage": {"input_tokens": "=1", "output_tokens": True}, "model": "none"}
    await send(
        client,
        turn(llm=[first, second]),
        turn(llm=[odd, 7, {"usage": 1}]),
        turn(llm=[{"usage": {"output_tokens": -3}}]),
    )
    told, strange, negative = await table(client)
    names = ["provider", "prompt_id", "outcome", "input_tokens", "output_tokens", "cost_usd"]
    assert [told[name] for name in names] == ["openai", "v3", "stopped", "15", "2", "0.75"]
    assert [strange[name] for name in names] == [""] * 6
    assert negative["output_tokens"] == "'-3"


async def test_a_format_that_is_none_is_refused(client: ClientSession) -> None:
    """With those that are."""
    status, answer = await get(client, "/api/export", format="xlsx")
    assert (status, answer["error"]["message"]) == (400, "`format` is one of ndjson, csv.")


def test_the_table_begins_with_its_columns() -> None:
    """After a mark without which Excel takes it for another encoding."""
    assert header() == b"\xef\xbb\xbf" + ",".join(f'"{name}"' for name in COLUMNS).encode() + b"\r\n"
    assert rows([]) == b""
