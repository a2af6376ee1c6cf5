"""Replace personal data and secrets in text by the name of their kind.

Finders run one after the other, each on what the one before has left. Three rules keep the result stable under a second
pass and the time linear: a placeholder counts as a word character for what stands beside it, so masking opens no new edge; a
candidate is judged by the characters that touch it and the words before it, never by a number before it; and every search
starts at a rare character (`@`, a digit, a key's prefix) and looks at a bounded piece from there.

Full-width, Arabic-Indic and Persian digits, full-width signs, special spaces and dashes are read as their ASCII form; what
stays keeps its own characters. Letters beyond ASCII are no word characters, so a number may touch Chinese text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int, str]

_PLAIN: Final = "0123456789" * 3 + "@.+()/:-" + " " * 5 + "-" * 5
_VARIANTS: Final = (
    "０１２３４５６７８９٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹＠．＋（）／：－"  # noqa: RUF001 - these are the look-alikes to read.
    "\u00a0\u2007\u2009\u202f\u3000\u2010\u2011\u2012\u2013\u2212"
)
_FOLD: Final = str.maketrans(_VARIANTS, _PLAIN)

# Edges of a number. What one side allows to touch the other allows too, or a second pass would see another edge.
_LEFT: Final = r"(?<![A-Za-z0-9_])(?<!\d[.-])(?<![A-Z][A-Z]\])"
_PHONE_LEFT: Final = _LEFT + r"(?<![A-Za-z0-9_]-)(?<![A-Za-z]/)"
_RIGHT: Final = r"(?![A-Za-z0-9_]|-[A-Za-z0-9_]|\.\d|\[[A-Z]{2,6}\])"
_LEFT_EDGE: Final = re.compile(_LEFT, re.ASCII)
_RIGHT_EDGE: Final = re.compile(_RIGHT, re.ASCII)
_DIGITS: Final = re.compile(r"\d+", re.ASCII)

_JWT: Final = r"eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+){1,3}"
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
    rf"(?<![A-Za-z0-9])(?<![A-Z][A-Z]\])(?:(?P<jwt>(?<![\w-]){_JWT})|{'|'.join(_KEYS)})", re.ASCII
)
_AUTH: Final = re.compile(
    r"(?<![a-z0-9])(?:(?P<header>authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:basic|token|api-?key|negotiate|bearer))"
    r"|bearer)\s{1,4}(?P<value>[\w.~+/=-]{6,}+)",
    re.ASCII | re.IGNORECASE,
)
_AUTH_WORDS: Final = ("uthorization", "earer", "UTHORIZATION", "EARER")
_PASSWORD: Final = re.compile(r"://[^\s/:@\[]*:(?P<value>(?:[^\s/?#\[]|\[(?![A-Z]{2,6}\]))+)@")
# Every key holds 18 such characters in a row, hardly a word does: one translation and one search settle most texts.
_KEY_BYTES: Final = bytes(120 if chr(code).isalnum() or code in b"-_" else 32 for code in range(128)) + b" " * 128
_DIGIT_BYTES: Final = bytes(48 if code in b"0123456789" else code for code in range(256))

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

_IBAN_LENGTHS: Final = (
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22"
    "GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31"
    "MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20"
)
_IBAN_LENGTH: Final = {found[:2]: int(found[2:]) for found in re.findall(r"[A-Z]{2}\d\d", _IBAN_LENGTHS)}
_IBAN: Final = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}..)(?=(?P<rest>(?:[ -]?[A-Za-z0-9]){11,30}))")
_IPV6: Final = re.compile(r"(?<![A-Za-z0-9_.])(?<!::)[0-9A-Fa-f:]{3,}+(?:\.[0-9]{1,3}){0,3}+(?![A-Za-z0-9_])")
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![A-Za-z0-9_]|\.[0-9]|-[A-Za-z]|\s?[€£₫%])")
_IPV4_LEFT: Final = re.compile(r"(?<![A-Za-z0-9_.])(?<![A-Za-z][-/])(?<![A-Z][A-Z]\])")
_OCTET: Final = re.compile(r"25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]")
_VERSION_BEFORE: Final = re.compile(
    r"(?:(?<![a-z])(?:v|ver|versions?|versión|versione|releases?|rev|revision|build|firmware|sections?|chapter|clause|"
    r"kapitel|abschnitt|oid|rp)|§|版本|版|バージョン|[a-z0-9_\]][=~>]=|[$€£¥₹₫])[\s:.#=]{0,3}(?:(?:is|to|was|number)\s)?$",
    re.IGNORECASE,
)

_CLUSTER: Final = re.compile(r"\d[\d .()/-]{6,}+", re.ASCII)
_CARD: Final = re.compile(_LEFT + r"\d{4}(?:[ -]?\d){9,15}", re.ASCII)
_NETWORK: Final = re.compile(
    "4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|5[06-8][0-9]{14,17}|6[0-9]{15,18}|2[2-7][0-9]{14}|3[47][0-9]{13}"
    "|3[0689][0-9]{12}(?:[0-9]{2})?|35[0-9]{14}|8[12][0-9]{14}|9792[0-9]{12}"
)
_SSN: Final = re.compile(_LEFT + r"(?!000|666|9)\d{3}([ -])(?!00)\d\d\1(?!0000)\d{4}" + _RIGHT, re.ASCII)
# No phone, whatever stands before it: dates, ranges of years, rows of pairs or of fours, ISBN.
_NO_PHONE: Final = re.compile(
    _LEFT
    + r"(?:(?:19|20)\d\d([-./])\d\d?\1\d\d?|\d\d?([-./])\d\d?\2(?:(?:19|20)\d\d|\d\d(?![-./]?\d))|\d\d?[./](?:19|20)\d\d"
    r"|(?:19|20)\d\d-(?:19|20)\d\d|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?"
    r"|\d\d(?: \d\d){5,}+|\d{4}(?: \d{4}){4,}+(?: \d{1,4})?|97[89]([- ])\d{1,5}\3\d{1,7}\3\d{1,7}\3\d)(?!\d)",
    re.ASCII,
)
_INTERNATIONAL: Final = re.compile(
    _LEFT
    + r"(?:\+|(?P<zeros>00)[ -]?(?=[()\d]{1,6}[ ./-]))[(]?(?P<country>1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]"
    r"|9[0-58]|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[0578]\d|9[679]\d)(?P<rest>(?:[ .()/-]{0,3}\d){5,14})",
    re.ASCII,
)
# Digits after the country code at most, where that is settled.
_LONGEST_OF: Final = (
    (8, "45 47 53 65 216 852 853 965 968 973 974"),
    (9, "27 31 32 33 34 36 40 41 46 48 51 56 61 66 93 94 212 213 351 353 380 420 421 886 966 971 972"),
    (10, "1 7 20 30 44 52 57 58 60 63 64 81 82 84 90 91 92 95 98 234 880"),
    (11, "39 54 55 86"),
)
_LONGEST: Final = {code: digits for digits, codes in _LONGEST_OF for code in codes.split()}
_NATIONAL: Final = re.compile(
    _PHONE_LEFT + r"(?:(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}"  # (555) 123-4567
    r"|\((?!(?:19|20)\d\d\))0?[1-9]\d{0,3}\)[ /-]{0,3}\d{2,8}(?:[ -]\d{2,5}){0,4}"  # (020) 7946 0958
    r"|0[1-9]([ .-])\d\d(?:\1\d\d){3}"  # 01 23 45 67 89
    r"|0[1-9](?: ?[/-] ?|[ .])(?=\d{3}|\d )\d{1,8}(?:[ .-]\d{2,4}){0,4}"  # 06-12345678
    r"|0[1-9]\d{1,3}(?: ?[/-] ?|[ .])\d{2,8}(?:[ .-]\d{2,4}){0,4}"  # 0151 23456789
    r"|8[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]\d\d[ -]\d\d|\d{3} \d{3}-\d\d-\d\d"  # 8 (495) 123-45-67
    r"|[1-9]\d{1,2} \d{3} \d\d \d\d|[679]\d\d \d\d \d\d \d\d|1[3-9]\d([ -])\d{4}\2\d{4}|1[38]00 \d{3} \d{3}"
    r"|[1-9]\d[ -]9\d{4}-\d{4})",
    re.ASCII,
)
_BARE: Final = re.compile(_PHONE_LEFT + r"(?<![$€£¥₹₫])\(?\d(?:[ .()/-]{0,2}\d){6,14}", re.ASCII)
_WORD: Final = re.compile(
    r"(?<![a-z\u00df-\u024f\u0370-\u052f])(?:(?P<phone>tel|tél|tlf|tele(?:ph|f)\w{0,12}|télé\w{0,8}|teléfono|puhelin|phone\w{0,6}"
    r"|cell|cellulare|mob|mobiln?[eyi]?\w{0,8}|móvil|celular|portable|handy\w{0,6}|rufnummer|call|calling|dial|fax|whatsapp|sms"
    r"|hotline|anruf\w{0,4}|appele[rz]|llam[ae]\w{0,4}|chiam\w{0,4}|ligue|gsm|(?:reach|text) (?:me|us|him|her|them)|тел|моб"
    r"|телефон\w{0,4}|мобильн\w{0,4}|(?:по)?звон\w{0,6}|τηλ|τηλέφωνο|κινητό|điện thoại|s?đt)"
    r"|(?P<other>orders?|bestell\w{0,10}|commande|pedido|sku|part|item|products?|artikel\w{0,8}|article|model|serial|invoice"
    r"|rechnung\w{0,8}|factur[ae]|ticket|case|ref|reference|tracking|shipment|parcel|isbn|issn|ean|upc|gtin|account|acct|id|code"
    r"|konto\w{0,8}|version|build|lot|batch|policy|imei|заказ\w{0,2}|ordine|claim|job|zip|plz|pmid|doi|patent|[ps]/?n|po))(?!\w)"
    r"|(?P<sign>电话|電話|手机|手機|致电|致電|携帯|联系方式|전화|휴대폰|연락처|핸드폰|هاتف|جوال|موبايل|تلفن|טלפון|נייד|फ़ोन|फोन|मोबाइल|โทร|[☎📞📱])"
    r"|(?P<code>订单号?|訂單|单号|注文番号|注文|주문|编号|型番|型号)",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"[^\d\[\n]{0,24}")
_TIGHT_LINK: Final = re.compile(r"\W{0,3}(?:(?:no|nr|num|number|nummer|id|code|n°|is)\W{1,3}){0,2}", re.IGNORECASE)


def mask_pii(text: str) -> str:
    """Replace personal data and secrets in `text` by placeholders such as `[EMAIL]`.

    The kinds: `[EMAIL]`, `[PHONE]`, `[CARD]` (Luhn), `[IBAN]` (checksum), `[SSN]`, `[IP]`, `[JWT]`, `[SECRET]`. Digits alone are
    a phone only after a word that says so. Dates, order numbers, versions, UUIDs, hashes, money and MAC addresses stay.
    """
    plain = text if text.isascii() or not any(sign in text for sign in _VARIANTS) else text.translate(_FOLD)
    text, plain = _without_secrets(text, plain)
    if "@" in plain:
        text, plain = _apply(text, plain, _emails(plain))
    if plain.count(":") > 1:
        text, plain = _apply(text, plain, _ipv6(plain))
    if not _has_digit(plain):
        return text
    shape = plain.encode("utf-8", "surrogatepass").translate(_DIGIT_BYTES)
    if b"0.0" in shape:
        text, plain = _apply(text, plain, _ipv4(plain))
    if b"0000000" in shape.translate(None, b" .()/-"):
        text, plain = _apply(text, plain, _ibans(plain))
        text, plain = _apply(text, plain, _numbers(plain))
    return text


def scrub_secrets(text: str) -> str:
    """Replace keys, passwords and tokens in `text` by `[SECRET]` or `[JWT]` and leave the rest."""
    return _without_secrets(text, text)[0]


def _without_secrets(text: str, plain: str) -> tuple[str, str]:
    has_run = b"x" * 18 in plain.encode("utf-8", "surrogatepass").translate(_KEY_BYTES)
    if "@" in plain and "://" in plain:
        text, plain = _apply(text, plain, _values(_PASSWORD, plain))
    if (has_run or ":" in plain or _has_digit(plain)) and any(word in plain for word in _AUTH_WORDS):
        text, plain = _apply(text, plain, _values(_AUTH, plain))
    if has_run or "PRIVATE KEY" in plain:
        text, plain = _apply(
            text, plain, ((*m.span(), "[JWT]" if m["jwt"] else "[SECRET]") for m in _TOKEN.finditer(plain))
        )
    return text, plain


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
    for (
        digit
    ) in "0123456789":  # Ten of these searches cost a tenth of one regular expression, and a loop less than any().
        if digit in text:
            return True
    return False


def _values(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Find the values of URL passwords and of `Bearer` and `Authorization`."""
    for found in pattern.finditer(text):
        start, end = found.span("value")
        if pattern is _AUTH:
            end = start + len(found["value"].rstrip("."))
            if not _is_credential(text[start:end], bool(found["header"])):
                continue
        yield start, end, "[JWT]" if re.fullmatch(_JWT, text[start:end], re.ASCII) else "[SECRET]"


def _is_credential(value: str, has_header: bool) -> bool:
    """Tell a token from the word of prose that may follow `bearer` or `Authorization: Basic`."""
    if has_header:
        return len(value) >= 20 or not (value.islower() and value.isalpha())
    return len(value) >= 20 or (len(value) >= 8 and _DIGITS.search(value) is not None)


def _emails(text: str) -> Iterator[Span]:
    done, at = 0, text.find("@")
    while at >= 0:
        before = text[done:at]
        name = before[len(before.rstrip(_LOCAL_ASCII if text.isascii() else _LOCAL)) :].lstrip("'.")
        domain = _DOMAIN.match(text, at + 1)
        done = at + 1
        # `git@host:path` and `icon@2x.png` are no addresses.
        if (
            name
            and domain
            and domain["top"].lower() not in _FILE_ENDINGS
            and (name != "git" or text[domain.end()] not in ":/")
        ):
            done = domain.end()
            yield at - len(name), done, "[EMAIL]"
        at = text.find("@", done)


def _ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        start, rest = found.start() - 2, found["rest"]
        head = text[start : found.end()].upper()
        missing = _IBAN_LENGTH.get(head[:2], 99) - 4
        ends = [sign.end() for sign in re.finditer("[A-Za-z0-9]", rest)][:missing]
        if len(ends) < missing or not (
            _LEFT_EDGE.match(text, start) and _RIGHT_EDGE.match(text, found.end() + ends[-1])
        ):
            continue
        body = rest[: ends[-1]].replace(" ", "").replace("-", "")
        if int("".join(str(int(sign, 36)) for sign in body + head)) % 97 == 1:
            yield start, found.end() + ends[-1], "[IBAN]"


def _ipv6(text: str) -> Iterator[Span]:
    for found in _IPV6.finditer(text):
        start, value = found.start(), found[0]
        if value[-1] == ":" != value[-2]:
            value = value[:-1]
        is_slice = text[start - 1 : start] == "[" and text[start - 2 : start] != "/["
        if len(value) <= 45 and not is_slice and _is_ipv6(value):
            yield start, start + len(value), "[IP]"


def _is_ipv6(value: str) -> bool:
    """Tell an address from a time, a MAC address and a name such as `dead::beef`."""
    parts = value.split(":")
    if "." in parts[-1]:
        quad = parts.pop().split(".")
        if len(quad) != 4 or not all(map(_OCTET.fullmatch, quad)):
            return False
        parts += ["0", "0"]
    filled = [part for part in parts if part]
    if any(len(part) > 4 for part in filled) or not _DIGITS.search(value) or ":::" in value:
        return False
    if "::" not in value:
        return len(filled) == len(parts) == 8 and any(len(part) != 2 for part in parts)
    return value.count("::") == 1 and len(filled) <= 7 and (len(filled) > 2 or len(parts[0]) > 2 or value == "::1")


def _ipv4(text: str) -> Iterator[Span]:
    for found in _IPV4.finditer(text):
        start = found.start()
        if _IPV4_LEFT.match(text, start) and all(map(_OCTET.fullmatch, found[0].split("."))):
            if not _VERSION_BEFORE.search(text, max(0, start - 24), start):
                yield *found.span(), "[IP]"


def _numbers(text: str) -> Iterator[Span]:
    """Find cards, social security numbers and phones in each run of digits and separators."""
    done = 0
    for cluster in _CLUSTER.finditer(text):
        for group in _DIGITS.finditer(text, *cluster.span()):
            start = group.start()
            if start < done:
                continue
            before = text[max(done, start - 2) : start]
            opened = len(before) - len(before.rstrip("(+"))
            span = (opened and _number_at(text, start - opened)) or _number_at(text, start)
            if span:
                done = span[1]
                if span[2]:
                    yield span


def _number_at(text: str, start: int) -> Span | None:
    """Name what starts at `start`; an empty name is for what stays."""
    if end := _card_end(text, start):
        return start, end, "[CARD]"
    if ssn := _SSN.match(text, start):
        return start, ssn.end(), "[SSN]"
    if date := _NO_PHONE.match(text, start):
        return start, date.end(), ""
    end = _international_end(text, start) or _national_end(text, start)
    return (start, end, "[PHONE]") if end else None


def _ends(text: str, start: int, end: int, fewest: int, most: int) -> list[int]:
    """List where a number of so many digits may end: behind a whole group, at an edge."""
    count, ends = 0, list[int]()
    for group in _DIGITS.finditer(text, start, end):
        count += len(group[0])
        if fewest <= count <= most and _RIGHT_EDGE.match(text, group.end()):
            ends.append(group.end())
    return ends


def _card_end(text: str, start: int) -> int:
    found = _CARD.match(text, start)
    for end in reversed(_ends(text, *found.span(), 13, 19) if found else ()):
        digits = text[start:end].replace(" ", "").replace("-", "")
        luhn = sum(int(sign) for sign in digits[::-2]) + sum(int("0246813579"[int(sign)]) for sign in digits[-2::-2])
        is_ean = len(digits) == 13 and (sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0
        if luhn % 10 == 0 and not is_ean and _NETWORK.fullmatch(digits):
            return end
    return 0


def _international_end(text: str, start: int) -> int:
    found = _INTERNATIONAL.match(text, start)
    if not found:
        return 0
    code, rest = found["country"], found["rest"]
    is_decimal = rest.count(".") == 1 and len(rest) < 10 and not re.search("[ ()/-]", rest)
    most = _LONGEST.get(code, 15 - len(code)) + ("(0" in rest)
    fewest = 10 if code == "1" else 8 - len(code)
    ends = _ends(text, found.start("rest"), found.end(), fewest, most)
    return ends[-1] if ends and not is_decimal else 0


def _national_end(text: str, start: int) -> int:
    """End a national form, or digits alone behind a word for phone; a word for another number right before it wins."""
    found = _NATIONAL.match(text, start)
    ends = _ends(text, *found.span(), 9, 12) if found else []
    is_bare = not ends
    if is_bare and (found := _BARE.match(text, start)):
        ends = _ends(text, *found.span(), 7, 15)
    if not ends:
        return 0
    word = None
    for word in _WORD.finditer(text, max(0, start - 48), start):
        pass
    is_phone = (
        word is not None and bool(word["phone"] or word["sign"]) and bool(_LINK.fullmatch(text, word.end(), start))
    )
    is_other = word is not None and not is_phone and bool(_TIGHT_LINK.fullmatch(text, word.end(), start))
    return ends[-1] if (is_phone if is_bare else not is_other) else 0
