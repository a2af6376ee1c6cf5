"""The cookies of the middleware: which are believed, which are set, and in what form (SPEC 4)."""

import sys
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lumina_async import ConfigError
from lumina_async.frameworks.cookies import SESSION, USER, VISITOR, YEAR_S, Kept, Signer, news, parse, private, read

from .browsers import ANONYMOUS, KEY, TRACE_ID

OLD_KEY = "a secret of last year 0123456789"


def test_a_visitor_and_their_conversation_are_read() -> None:
    """`lumina_id` names the visitor and, without a secret, `lumina_session` the trace id (SPEC 4)."""
    cookies = parse([f"theme=dark; lumina_id={ANONYMOUS}", f"lumina_session={TRACE_ID}"])
    assert read(cookies, None) == Kept(anonymous_id=ANONYMOUS, trace_id=TRACE_ID)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "anon_",
        "anon_abc123",
        ANONYMOUS + "x",
        ANONYMOUS[:-1],
        ANONYMOUS + "\r\nSet-Cookie: a=b",
        ANONYMOUS + "\n",
        ANONYMOUS.replace("3", "\u0663"),
        "anon_" + "é" * 36,
        f'"{ANONYMOUS}"',
        "anon_" + "a" * 8_000,
        "x" * 8_000,
        "undefined",
        "null",
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_malformed_visitor_counts_as_absent(value: str) -> None:
    """A `lumina_id` of another form, or of 8 kB, is no visitor, and is replaced (FAULTS I1, I2)."""
    kept = read({VISITOR: value}, None)
    assert kept == Kept()
    [cookie] = news(kept, Kept(anonymous_id=ANONYMOUS), None, secure=False)
    assert cookie.startswith(f"lumina_id={ANONYMOUS};")


def test_a_cookie_that_comes_twice_counts_as_absent() -> None:
    """Of several cookies of one name nobody knows which is meant, even where they agree (FAULTS I2)."""
    other = ANONYMOUS.replace("3", "4")
    assert read(parse([f"lumina_id={ANONYMOUS}; lumina_id={other}"]), None) == Kept()
    assert read(parse([f"lumina_id={ANONYMOUS}", f"a=b; lumina_id={ANONYMOUS}"]), None) == Kept()


@given(st.lists(st.text(max_size=200), max_size=5))
def test_no_cookie_header_raises_or_gets_into_a_response(headers: list[str]) -> None:
    """Whatever the headers hold, what is set is one clean line of ASCII (FAULTS I2)."""
    kept = read(parse(headers), Signer(KEY))
    now = Kept(anonymous_id=ANONYMOUS, user_id="é;\U0001f600", trace_id=TRACE_ID)
    for cookie in news(kept, now, Signer(KEY), secure=True):
        assert cookie.isascii()
        assert cookie.isprintable()


def test_a_known_id_in_lumina_id_is_ignored_and_left_alone() -> None:
    """What the original's browser SDK wrote proves nothing and is never rewritten (SPEC 4; FAULTS I1)."""
    kept = read({VISITOR: "user_123"}, Signer(KEY))
    assert kept == Kept(is_foreign=True)
    assert news(kept, Kept(anonymous_id=ANONYMOUS, is_foreign=True), None, secure=False) == []


@pytest.mark.parametrize(
    "value",
    [
        "ada",
        TRACE_ID,
        Signer(OLD_KEY).sign(USER, "ada"),
        Signer(KEY).sign(SESSION, "ada"),
        Signer(KEY).sign(USER, "ada")[:-1],
        Signer(KEY).sign(USER, "null"),
        "",
        ".",
        "a.b.c",
        "é.é.é",
        "x" * 8_000,
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_known_user_needs_our_signature(value: str) -> None:
    """A plain id, another secret, the signature of another cookie or of nobody: no known user (FAULTS I1)."""
    assert read({USER: value}, Signer(KEY)) == Kept()


def test_without_a_secret_no_cookie_names_a_known_user() -> None:
    """`lumina_uid` is neither read nor set (SPEC 4)."""
    assert read({USER: Signer(KEY).sign(USER, "ada")}, None) == Kept()
    assert news(Kept(), Kept(user_id="ada"), None, secure=False) == []


def test_a_secret_can_be_replaced() -> None:
    """Of several secrets the first signs and all are accepted (SPEC 4; FAULTS I1)."""
    both = Signer([KEY, OLD_KEY])
    assert read({USER: Signer(OLD_KEY).sign(USER, "ada")}, both).user_id == "ada"
    assert read({USER: both.sign(USER, "ada")}, Signer(KEY)).user_id == "ada"
    assert read({USER: both.sign(USER, "ada")}, Signer(OLD_KEY)).user_id is None


def test_a_signature_of_a_known_user_ends_after_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser forgets the cookie after a year; who has copied it is not known for longer either."""
    import time

    cookie, now = Signer(KEY).sign(USER, "ada"), time.time()
    monkeypatch.setattr("time.time", lambda: now + YEAR_S + 2)
    assert read({USER: cookie}, Signer(KEY)) == Kept()


@pytest.mark.parametrize("value", ["0" * 32, TRACE_ID.upper(), TRACE_ID + "0", TRACE_ID[:-1], TRACE_ID + "\n", "x"])
def test_a_session_cookie_is_a_trace_id(value: str) -> None:
    """What is no trace id is no conversation, signed or not (FAULTS I2)."""
    assert read({SESSION: value}, None) == Kept()
    assert read({SESSION: Signer(KEY).sign(SESSION, value)}, Signer(KEY)) == Kept()


def test_with_a_secret_the_session_is_signed() -> None:
    """A trace id that anybody could have written is not gone on with (SPEC 4)."""
    signer = Signer(KEY)
    assert read({SESSION: TRACE_ID}, signer) == Kept()
    [cookie] = news(Kept(), Kept(trace_id=TRACE_ID), signer, secure=False)
    assert read(parse([cookie]), signer) == Kept(trace_id=TRACE_ID)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_the_flags_of_a_cookie(secure: bool) -> None:
    """HttpOnly, SameSite=Lax, Secure on https, for a year; the session ends with the browser (FAULTS I3)."""
    now = Kept(anonymous_id=ANONYMOUS, user_id="ada", trace_id=TRACE_ID)
    ages = {VISITOR: str(YEAR_S), USER: str(YEAR_S), SESSION: ""}
    for line in news(Kept(), now, Signer(KEY), secure=secure):
        [(name, cookie)] = SimpleCookie[Any](line).items()
        assert cookie["max-age"] == ages.pop(name)
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert (bool(cookie["secure"]), cookie["domain"]) == (secure, "")
    assert not ages


def test_what_is_over_is_forgotten() -> None:
    """After a logout the known user and the conversation leave the browser, and another visitor comes (SPEC 4)."""
    other = ANONYMOUS.replace("3", "4")
    before = Kept(anonymous_id=ANONYMOUS, user_id="ada", trace_id=TRACE_ID)
    visitor, user, session = news(before, Kept(anonymous_id=other), Signer(KEY), secure=False)
    assert visitor.startswith(f"lumina_id={other}; Max-Age={YEAR_S};")
    assert user.startswith("lumina_uid=; Max-Age=0;")
    assert session.startswith("lumina_session=; Max-Age=0;")


def test_what_the_browser_keeps_is_not_set_again() -> None:
    """Nothing new, no cookie (FAULTS I4)."""
    kept = Kept(anonymous_id=ANONYMOUS, user_id="ada", trace_id=TRACE_ID)
    assert news(kept, kept, Signer(KEY), secure=True) == []


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        (None, "private"),
        ("", "private"),
        ("max-age=60", "max-age=60, private"),
        ("public, max-age=60, s-maxage=600", "max-age=60, private"),
        ("no-store", "no-store"),
        ("Private, max-age=60", "Private, max-age=60"),
    ],
)
def test_an_answer_with_a_cookie_is_private(given_: str | None, told: str) -> None:
    """No shared cache may give one visitor's cookie to another (FAULTS I4)."""
    assert private(given_) == told


@pytest.mark.parametrize("secret", ["", "short", [], [KEY, "short"]], ids=repr)
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    """A signature that can be guessed is worse than none."""
    with pytest.raises(ConfigError, match="cookie_secret must be 16 characters"):
        Signer(secret)


def test_a_secret_without_itsdangerous_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the line that installs it."""
    monkeypatch.setitem(sys.modules, "itsdangerous", None)
    with pytest.raises(ConfigError, match=r"pip install 'lumina-async\[frameworks\]'"):
        Signer(KEY)
