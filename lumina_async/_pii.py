"""Replace personal data and secrets in text by the name of their kind.

Finders run one after the other, each on what the one before has left. Three rules keep the result stable under a second
pass and the time linear: a placeholder counts as a word character for what stands beside it, so masking opens no new
edge; a candidate is judged by the characters that touch it and the words before it, never by a number before it; and
every search starts at a rare sign (`@`, a digit, a key's prefix) and looks at a bounded piece from there.

Full-width, Arabic-Indic and Persian digits, full-width signs, special spaces and dashes are read as their ASCII form;
what stays keeps its own characters. Letters beyond ASCII are no word characters: a number may touch Chinese text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from lumina_async._pii_numbers import NOT_BEHIND_PLACEHOLDER, PLACEHOLDER, Span, clusters, ibans, numbers

_FOLD: Final = tuple(
    zip(
        "０１２３４５６７８９٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹\uff20\uff0e\uff0b\uff08\uff09\uff0f\uff1a\uff0d"
        "\u00a0\u2007\u2009\u202f\u3000\u2010\u2011\u2012\u2013\u2212",
        "0123456789" * 3 + "@.+()/:-" + " " * 5 + "-" * 5,
        strict=True,
    )
)

_JWT: Final = r"eyJ[\w-]{5,}+\.{1,2}[\w-]{5,}+(?:\.[\w-]++){0,3}"
_KEYS: Final = (
    r"sk-(?:(?:proj|svcacct|admin|None|ant|or|lf)-[\w-]{16,}+|[A-Za-z0-9]{20,}+[\w-]*+)|pk-lf-[\w-]{16,}+",
    r"gh[pousr]_[A-Za-z0-9]{30,}+|github_pat_\w{22,}+|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{20,}+",
    r"gl(?:pat|dt|rt|ptt|ft|soat|cbt|agent|imt|ffct|oas)-[\w-]{18,}+(?:\.[\w-]++)*+",
    r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[\w-]{35,}+|GOCSPX-[\w-]{20,}+|ya29\.[\w-]{20,}+",
    r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{13,}+|xapp-[A-Za-z0-9-]{14,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+",
    r"[srp]k_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{20,}+|ph[a-z]_[A-Za-z0-9]{20,}+",
    r"hf_[A-Za-z0-9]{30,}+|gi_(?:live_|test_)?[A-Za-z0-9]{15,}+",
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----))*+(?:-----END [A-Z0-9 ]{1,50}-----)?",
)
_TOKEN: Final = re.compile(
    rf"(?<![A-Za-z0-9]){NOT_BEHIND_PLACEHOLDER}(?:(?P<jwt>(?<![\w-]){_JWT})|{'|'.join(_KEYS)})", re.ASCII
)
_AUTHORIZATION: Final = re.compile(
    r"(?<![a-z0-9])(?:(?P<header>authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:basic|token|api-?key|negotiate|bearer))"
    r"|bearer)\s{1,4}(?P<value>[\w.~+/=-]{6,}+)",
    re.ASCII | re.IGNORECASE,
)
_AUTHORIZATION_PROSE: Final = frozenset(
    ("authentication", "authorization", "credentials", "header", "scheme", "tokens")
)
_PASSWORD: Final = re.compile(r"://[^\s/:@\[]*:(?P<value>(?:[^\s/?#\[]|\[(?![A-Z]{2,6}\]))+)@")
# Every key holds 18 such characters in a row, hardly a word does: one translation and one search settle most texts.
_KEY_BYTES: Final = bytes(120 if chr(code).isalnum() or code in b"-_" else 32 for code in range(128)) + b" " * 128
_KEY_RUN: Final = b"x" * 18
_KEY_HINT: Final = re.compile(
    r"eyJ|sk-|pk-lf|gh[pousr]_|github_pat_|npm_|pypi-|gl[a-z]{2,5}-|A[KSBC][ICS]A|AIza|GOCSPX-|ya29\.|xox|xapp-|SG\."
    r"|[srp]k_(?:live|test)|whsec_|ph[a-z]_|hf_|gi_"
)

# Letters of scripts with spaces between words may be part of an address; Chinese and Japanese text ends it.
_LETTERS: Final = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u052f"
_LOCAL_ASCII: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-'~"
_LOCAL: Final = _LOCAL_ASCII + "".join(re.findall(f"[{_LETTERS}]", "".join(map(chr, range(0x530)))))
_DOMAIN: Final = re.compile(
    rf"(?:[A-Za-z0-9{_LETTERS}-]++\.)+(?P<top>xn--[A-Za-z0-9-]++|[A-Za-z]{{2,24}}(?![A-Za-z0-9_])|[{_LETTERS}]{{2,24}}+)"
)
_FILE_ENDINGS: Final = frozenset(
    ("png", "jpg", "jpeg", "gif", "webp", "svg", "css", "js", "ts", "json", "html", "service")
)

_HEX: Final = "[0-9A-Fa-f]{1,4}"
_QUAD: Final = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
_IPV6_HINT: Final = re.compile(":[0-9A-Fa-f]{0,4}:")
_IPV6: Final = re.compile(
    # After a colon only behind a word such as `node:`, which is no group of hex digits.
    rf"(?<![A-Za-z0-9_.])(?:(?<!:)|(?<=[G-Zg-z]:)|(?<=[G-Zg-z][A-Za-z]:)|(?<=[G-Zg-z][A-Za-z]{{3}}:)){NOT_BEHIND_PLACEHOLDER}"
    rf"[0-9A-Fa-f:]{{3,}}+(?:(?:\.[0-9]{{1,3}}){{3}}(?!\.?[0-9]))?+(?![A-Za-z0-9_]|{PLACEHOLDER})"
)
_IPV6_FORM: Final = re.compile(
    rf"(?:{_HEX}:){{6}}(?:{_HEX}:{_HEX}|{_QUAD})|(?:{_HEX}(?::{_HEX}){{0,6}})?::(?:(?:{_HEX}:){{0,6}}(?:{_HEX}|{_QUAD}))?"
)
_IPV4: Final = re.compile(
    rf"[0-9][0-9]{{0,2}}(?:\.[0-9]{{1,3}}){{3}}(?![A-Za-z0-9_]|\.[0-9]|-[A-Za-z]|-?{PLACEHOLDER}|\s?[€£₫%])"
)
_IPV4_LEFT: Final = re.compile(r"(?<![A-Za-z0-9_.])(?<![A-Za-z][-/])" + NOT_BEHIND_PLACEHOLDER)
_OCTET: Final = re.compile(r"25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]")
_VERSION_BEFORE: Final = re.compile(
    r"(?:(?<![a-z])(?:v|ver|versions?|versión|versione|releases?|rev|revision|build|firmware|sections?|chapter|clause|"
    r"kapitel|abschnitt|oid|rp)|§|版本|版|バージョン|[a-z0-9_\]][=~>]=|[$€£¥₹₫])[\s:.#=]{0,3}(?:(?:is|to|was|number)\s)?$",
    re.IGNORECASE,
)


def mask_pii(text: str) -> str:
    """Replace personal data and secrets in `text` by placeholders such as `[EMAIL]`.

    The kinds: `[EMAIL]`, `[PHONE]`, `[CARD]` (Luhn), `[IBAN]` (checksum), `[SSN]`, `[IP]`, `[JWT]`, `[SECRET]`. Digits
    alone are a phone only after a word that says so. Dates, order numbers, versions, UUIDs, hashes, money and MAC
    addresses stay.
    """
    plain = text if text.isascii() else _fold(text)
    text, plain = _without_secrets(text, plain)
    if "@" in plain:
        text, plain = _apply(text, plain, _emails(plain))
    return _without_numbers(text, plain) if _has_digit(plain) else text


def scrub_secrets(text: str) -> str:
    """Replace keys, passwords and tokens in `text` by `[SECRET]` or `[JWT]` and leave the rest."""
    return _without_secrets(text, text)[0]


def _fold(text: str) -> str:
    for sign, plain in _FOLD:
        if sign in text:
            text = text.replace(sign, plain)
    return text


def _without_secrets(text: str, plain: str) -> tuple[str, str]:
    shape = plain.encode("ascii", "replace").translate(_KEY_BYTES)
    run = shape.find(_KEY_RUN)
    if "@" in plain and "://" in plain:
        text, plain = _apply(text, plain, _values(_PASSWORD, plain))
    if _may_hold_authorization(plain, run >= 0):
        text, plain = _apply(text, plain, _values(_AUTHORIZATION, plain))
    if (run >= 0 and _has_key_prefix(plain)) or _holds(plain, "K", "PRIVATE KEY"):
        text, plain = _apply(text, plain, _tokens(plain))
    return text, plain


def _may_hold_authorization(text: str, has_run: bool) -> bool:
    """Search in the order of cost: one character is found ten times as fast as a word."""
    may_hold_token = has_run or _has_digit(text)
    if may_hold_token and ("earer" in text or _holds(text, "R", "EARER")):
        return True
    may_hold_header = ":" in text or "=" in text
    return may_hold_header and (_holds(text, "z", "uthorization") or _holds(text, "Z", "UTHORIZATION"))


def _holds(text: str, sign: str, word: str) -> bool:
    return sign in text and word in text


def _has_key_prefix(text: str) -> bool:
    """Look for the prefix of a key in and just before each long run of its characters."""
    shape = text.encode("ascii", "replace").translate(_KEY_BYTES)
    at = shape.find(_KEY_RUN)
    while at >= 0:
        start, end = shape.rfind(b" ", 0, at), shape.find(b" ", at)
        if _KEY_HINT.search(text, max(0, start - 20), end if end >= 0 else len(text)):
            return True
        at = shape.find(_KEY_RUN, end) if end >= 0 else -1
    return False


def _without_numbers(text: str, plain: str) -> str:
    if _IPV6_HINT.search(plain):
        text, plain = _apply(text, plain, _ipv6(plain))
    if b"..." in plain.encode("ascii", "replace").translate(None, b"0123456789"):
        text, plain = _apply(text, plain, _ipv4(plain))
    if clusters(plain):
        text, plain = _apply(text, plain, ibans(plain))
        text, plain = _apply(text, plain, numbers(plain))
    return text


def _apply(text: str, plain: str, spans: Iterable[Span]) -> tuple[str, str]:
    """Put the placeholders of `spans`, which were found in `plain`, into both texts."""
    found = list(spans)
    if not found:
        return text, plain
    masked = _splice(plain, found)
    return (masked if text is plain else _splice(text, found)), masked


def _splice(text: str, spans: list[Span]) -> str:
    parts: list[str] = []
    done = 0
    for start, end, name in spans:
        parts += (text[done:start], name)
        done = end
    return "".join((*parts, text[done:]))


def _has_digit(text: str) -> bool:
    for digit in "0123456789":  # noqa: SIM110 - a loop costs half of any(), ten searches a tenth of one regex.
        if digit in text:
            return True
    return False


def _values(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Find the values of URL passwords and of `Bearer` and `Authorization`."""
    for found in pattern.finditer(text):
        start, end = found.span("value")
        if pattern is _AUTHORIZATION:
            end = start + len(found["value"].rstrip("."))
            if not _is_credential(text[start:end], bool(found["header"])):
                continue
        yield start, end, "[JWT]" if re.fullmatch(_JWT, text[start:end], re.ASCII) else "[SECRET]"


def _tokens(text: str) -> Iterator[Span]:
    for found in _TOKEN.finditer(text):
        yield *found.span(), "[JWT]" if found["jwt"] else "[SECRET]"


def _is_credential(value: str, has_header: bool) -> bool:
    """Tell a token from the word of prose that may follow `bearer` or `Authorization: Basic`."""
    if has_header:
        return value.lower() not in _AUTHORIZATION_PROSE
    return len(value) >= 20 or (len(value) >= 8 and _has_digit(value))


def _emails(text: str) -> Iterator[Span]:
    done, at = 0, text.find("@")
    while at >= 0:
        before = text[done:at]
        name = before[len(before.rstrip(_LOCAL_ASCII if text.isascii() else _LOCAL)) :].lstrip("'.")
        domain = _DOMAIN.match(text, at + 1)
        done = at + 1
        if name and domain and not _is_no_address(name, domain):
            done = domain.end()
            yield at - len(name), done, "[EMAIL]"
        at = text.find("@", done)


def _is_no_address(name: str, domain: re.Match[str]) -> bool:
    """Tell `git@host:path` and `icon@2x.png` from an address."""
    after = domain.string[domain.end() : domain.end() + 1]
    return domain["top"].lower() in _FILE_ENDINGS or (name == "git" and after in (":", "/"))


def _ipv6(text: str) -> Iterator[Span]:
    for found in _IPV6.finditer(text):
        start, value = found.start(), found[0]
        if value[-1] == ":" != value[-2]:  # The colon of a sentence.
            value = value[:-1]
        is_slice = text[start - 1 : start] == "[" and text[start - 2 : start] != "/["
        if len(value) <= 45 and not is_slice and _is_ipv6(value):
            yield start, start + len(value), "[IP]"


def _is_ipv6(value: str) -> bool:
    """Tell an address from a time, a MAC address and a name such as `dead::beef`."""
    if not _IPV6_FORM.fullmatch(value) or not _has_digit(value):
        return False
    sizes = [len(part) for part in value.split(":")]
    if "::" in value:
        return value == "::1" or "." in value or sizes[0] > 2 or sum(map(bool, sizes)) > 2
    return any(size != 2 for size in sizes)


def _ipv4(text: str) -> Iterator[Span]:
    for found in _IPV4.finditer(text):
        start = found.start()
        is_address = _IPV4_LEFT.match(text, start) and all(map(_OCTET.fullmatch, found[0].split(".")))
        if is_address and not _VERSION_BEFORE.search(text, max(0, start - 24), start):
            yield *found.span(), "[IP]"
