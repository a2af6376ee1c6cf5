"""The outcome table: what each answer means."""

import pytest
from hypothesis import given, strategies as st

from lumina_async._outcome import Action, Answer, decide

TABLE = [
    *((status, Action.STORED) for status in (200, 201, 202, 204)),
    *((status, Action.RETRY) for status in (None, 408, 425, 429, 500, 502, 503, 504, 599)),
    *((status, Action.SPLIT) for status in (400, 413, 422)),
    *((status, Action.PAUSE) for status in (301, 302, 307, 308, 401, 403, 404, 405, 410, 418, 451, 501, 505, 600)),
]


@pytest.mark.parametrize(("status", "action"), TABLE)
def test_each_status_has_its_action(status: int | None, action: Action) -> None:
    """SPEC 8's table, row by row."""
    assert decide(Answer(status=status), compressed=False).action is action


def test_a_415_is_about_compression_only_if_there_was_any() -> None:
    """415 to gzip means plain; 415 to plain means a wrong address (FAULTS N11)."""
    assert decide(Answer(status=415), compressed=True).action is Action.PLAIN
    assert decide(Answer(status=415), compressed=False).action is Action.PAUSE


def test_an_html_200_is_no_success() -> None:
    """A captive portal answers 200 with a page (FAULTS N18)."""
    assert decide(Answer(status=200, content_type="text/html"), compressed=False).action is Action.PAUSE


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("0", 0.0),
        ("1000000000000", 300.0),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Sat, 21 Nov 2026 10:00:07 GMT", 7.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 10:00:00 GMT", 300.0),
    ],
)
def test_retry_after_counts_from_the_servers_own_date(header: str | None, seconds: float | None) -> None:
    """Seconds or a date against the answer's Date, clamped to 0..300 s; anything else is none (FAULTS N4, N5)."""
    answer = Answer(status=503, retry_after=header, date="Sat, 21 Nov 2026 10:00:00 GMT")
    assert decide(answer, compressed=False).retry_after_s == seconds


def test_a_date_without_the_servers_date_is_none() -> None:
    """Our clock is not asked: it may be a day off."""
    answer = Answer(status=503, retry_after="Sat, 21 Nov 2026 10:00:07 GMT")
    assert decide(answer, compressed=False).retry_after_s is None


@given(st.text(), st.text())
def test_no_retry_after_raises_or_leaves_its_bounds(header: str, date: str) -> None:
    """Whatever a server sends (FAULTS N5)."""
    seconds = decide(Answer(status=503, retry_after=header, date=date), compressed=False).retry_after_s
    assert seconds is None or 0 <= seconds <= 300


@given(st.binary())
def test_no_body_raises(body: bytes) -> None:
    """A 2xx with any body is stored (FAULTS N18)."""
    assert decide(Answer(status=200, body=body), compressed=False).action is Action.STORED


def test_rejected_lines_are_believed() -> None:
    """Line numbers count from 1 on the wire."""
    body = b'{"accepted":1,"rejected":[{"line":3,"code":"bad_id"},{"line":1}]}'
    assert decide(Answer(status=200, body=body), compressed=False).rejected == ((0, "rejected"), (2, "bad_id"))
