"""Find payment cards, bank accounts, social security numbers and phones among all the other numbers of a text.

What a candidate may touch is the same on both sides (`_LEFT`, `_RIGHT`), and a placeholder counts as a word character,
so masking one number opens no edge for the next. The words before a number may decide about it, the numbers before it
never do. Digits and signs are read in their ASCII form (`_pii` folds the text); letters beyond ASCII are edges.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int, str]
"""Start, end and the placeholder for what is between."""

# Cheap when no `]` stands before, which is nearly always.
NOT_BEHIND_PLACEHOLDER: Final = (
    r"(?:(?<!\])|(?<!\[IP\])(?<!\[SSN\])(?<!\[JWT\])(?<!\[CARD\])(?<!\[IBAN\])(?<!\[EMAIL\])(?<!\[PHONE\])"
    r"(?<!\[SECRET\]))"
)
PLACEHOLDER: Final = r"\[(?:EMAIL|PHONE|CARD|IBAN|SSN|IP|JWT|SECRET)\]"
_LEFT: Final = rf"(?<![A-Za-z0-9_]){NOT_BEHIND_PLACEHOLDER}(?:(?<!\d[.-])|(?=[+(A-Za-z]))"
_PHONE_LEFT: Final = _LEFT + r"(?:(?<![A-Za-z_]-)(?<![A-Za-z]/)|(?=[+(]))"
_RIGHT: Final = rf"(?!(?!x\d{{1,6}}(?![A-Za-z0-9_]))[A-Za-z0-9_]|-[A-Za-z0-9_]|\.\d|{PLACEHOLDER})"
_LEFT_EDGE: Final = re.compile(_LEFT, re.ASCII)
_RIGHT_EDGE: Final = re.compile(_RIGHT, re.ASCII)
_IBAN_RIGHT: Final = re.compile(rf"(?![A-Za-z0-9_]|\.[0-9]|{PLACEHOLDER})")
_DIGITS: Final = re.compile(r"\d+", re.ASCII)
# In bytes with 0 for every digit a run is found ten times as fast; `_SEVEN` then counts its digits.
_SHAPE: Final = bytes(48 if code in b"0123456789" else code for code in range(128)) + b"?" * 128
_CLUSTER: Final = re.compile(rb"0(?<!0.)[0 .()/-]{6,}+", re.DOTALL)
_ISO_DATE: Final = re.compile("(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?![ .()/-]*+[0-9])")
_SEVEN: Final = re.compile(r"(?:[ .()/-]{0,3}[0-9]){7}")

_IBAN_LENGTHS: Final = (
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22"
    "GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20"
    "MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29"
    "VA22VG24XK20YE30"
)
_IBAN_LENGTH: Final = {item[:2]: int(item[2:]) for item in re.findall(r"[A-Z]{2}\d\d", _IBAN_LENGTHS)}
_IBAN: Final = re.compile(r"[0-9][0-9](?<=[A-Za-z]{2}..)(?=(?P<rest>(?:[ -]?[A-Za-z0-9]){11,30}))")

_CARD: Final = re.compile(_LEFT + r"\d{4}(?:[ -]?\d){9,15}", re.ASCII)
# Visa, Mastercard, Maestro, Discover and UnionPay, Mir, Amex, Diners, JCB, RuPay, Troy; no IMEI, ICCID or ISBN.
_NETWORK: Final = re.compile(
    "4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|5[06-8][0-9]{14,17}|6[0-9]{15,18}|2[2-7][0-9]{14}|3[47][0-9]{13}"
    "|3[0689][0-9]{12}(?:[0-9]{2})?|35[0-9]{14}|8[12][0-9]{14}|9792[0-9]{12}"
)
_SSN: Final = re.compile(_LEFT + r"(?!000|666|9)\d{3}([ -])(?!00)\d\d\1(?!0000)\d{4}" + _RIGHT, re.ASCII)

# No phone, whatever stands before it: dates, ranges of years, rows of single digits, of pairs or of fours, ISBN.
_NO_PHONE: Final = re.compile(
    _LEFT + r"(?:(?:19|20)\d\d([-./])\d\d?\1\d\d?"
    r"|\d\d?([-./])\d\d?\2(?:(?:19|20)\d\d|\d\d(?![-./]?\d))|\d\d?[./](?:19|20)\d\d"
    r"|(?:19|20)\d\d-(?:19|20)\d\d|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?"
    r"|\d(?:[ .()/-]{1,3}\d(?!\d)){9,}+|\d\d(?: \d\d){5,}+|\d{4}(?: \d{4}){3,}+(?: \d{1,3})?"
    r"|97[89]([- ])\d{1,5}\3\d{1,7}\3\d{1,7}\3\d)(?!\d)",
    re.ASCII,
)
_COUNTRY: Final = (
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[0578]\d"
    r"|9[679]\d"
)
_INTERNATIONAL: Final = re.compile(
    rf"{_LEFT}(?:\+|00[ -]?(?=[()\d]{{1,6}}[ ./-])(?!(?!39)\d{{1,3}}[ ./-]0))[(]?"
    rf"(?P<country>{_COUNTRY})(?P<rest>(?:[ .()/-]{{0,3}}\d){{5,14}})",
    re.ASCII,
)
# Digits after the country code at most, where that is settled.
_LONGEST_OF: Final = (
    (8, "45 47 53 65 216 852 853 965 968 973 974"),
    (9, "27 31 32 33 34 36 40 41 46 48 51 56 61 66 93 94 212 213 351 353 380 420 421 886 966 971 972"),
    (10, "1 7 20 30 44 57 58 60 63 64 81 82 84 90 91 92 95 98 234 880"),
    (11, "39 52 54 55 86"),
)
_LONGEST: Final = {code: digits for digits, codes in _LONGEST_OF for code in codes.split()}
_NATIONAL: Final = re.compile(
    _PHONE_LEFT + r"(?:(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}"  # (555) 123-4567
    r"|\((?!(?:19|20)\d\d\))0?[1-9]\d{0,3}\)[ /-]{0,3}\d{2,8}(?:[ -]\d{2,5}){0,4}"  # (020) 7946 0958
    r"|0[1-9]([ .-])\d\d(?:\1\d\d){3}|0[1-9] \d\d \d{3} \d{4}"  # 01 23 45 67 89
    r"|0[1-9](?: ?[/-] ?|[ .])(?=\d{3}|\d )\d{1,8}(?:[ .-]\d{2,4}){0,4}"  # 06-12345678
    r"|0[1-9]\d{1,3}(?: ?[/-] ?|[ .])\d{2,8}(?:[ .-]\d{2,4}){0,4}"  # 0151 23456789
    r"|8[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]\d\d[ -]\d\d|\d{3} \d{3}-\d\d-\d\d"  # 8 (495) 123-45-67
    r"|[1-9]\d{1,2} \d{3} \d\d \d\d|[679]\d\d \d\d \d\d \d\d"  # 91 123 45 67
    r"|1[3-9]\d([ -])\d{4}\2\d{4}|1[38]00 \d{3} \d{3}|[1-9]\d[ -]9\d{4}-\d{4})",  # 138 0013 8000
    re.ASCII,
)
# No other digits just before: the word that announces it must be the last thing before it.
_BARE: Final = re.compile(
    rf"{_PHONE_LEFT}(?<![$€£¥₹₫])(?<!\d[ .()/-])(?<!\d[ .()/-]{{2}})(?<!\d[ .()/-]{{3}})"
    r"\(?\d(?:[ .()/-]{0,2}\d){6,14}",
    re.ASCII,
)
_PHONE_WORDS: Final = (
    r"tel|tél|tlf|tele(?:ph|f)\w{0,12}|télé\w{0,8}|teléfono|puhelin|phone\w{0,8}|cell(?:phone|ulare)?|mob|mobil\w{0,8}"
    r"|móvil|celular|portable|handy\w{0,6}|rufnummer|call|calling|dial|fax|whatsapp|sms|hotline|anruf\w{0,4}|appele[rz]"
    r"|ll[aá]m[ae]\w{0,4}|chiam\w{0,4}|ligue|gsm|(?:reach|text|ring) (?:me|us|him|her|them)|my number|тел|моб"
    r"|телефон\w{0,4}|мобильн\w{0,4}|(?:по)?звон\w{0,6}|τηλ|τηλέφωνο|κινητό|điện thoại|s?đt"
)
_OTHER_WORDS: Final = (
    r"orders?|bestell\w{0,10}|commande|pedido|sku|part|item|products?|artikel\w{0,8}|article|model|serial|invoice"
    r"|rechnung\w{0,8}|factur[ae]|ticket|case|ref|reference|tracking|shipment|parcel|isbn|issn|ean|upc|gtin|account|acct"
    r"|id|code|konto\w{0,8}|version|build|lot|batch|policy|imei|заказ\w{0,2}|ordine|claim|job|zip|plz|pmid|doi|patent"
    r"|[ps]/?n|po"
)
_PHONE_SIGNS: Final = (
    "电话|電話|手机|手機|致电|致電|携帯|联系方式|전화|휴대폰|연락처|핸드폰|هاتف|جوال|موبايل|تلفن"
    "|טלפון|נייד|फ़ोन|फोन|मोबाइल|โทร|[☎📞📱]"
)
_OTHER_SIGNS: Final = "订单号?|訂單|单号|注文番号|注文|주문|编号|型番|型号"
# For text in lower case.
_WORD: Final = re.compile(
    rf"(?<![a-z\u00df-\u024f\u0370-\u052f[])(?:(?P<phone>{_PHONE_WORDS})|(?P<other>{_OTHER_WORDS}))(?![^\W\d])"
    rf"|(?P<phone_sign>{_PHONE_SIGNS})|(?P<other_sign>{_OTHER_SIGNS})"
)
_LINK: Final = re.compile(r"[^\d\[\n]{0,24}")
_TIGHT_LINK: Final = re.compile(r"\W{0,3}(?:(?:no|nr|num|number|nummer|id|code|n°|is)\W{1,3}){0,2}")


def clusters(text: str) -> list[tuple[int, int]]:
    """List the runs of digits and separators that are long enough for the finders below and are no mere date."""
    shape = text.encode("ascii", "replace").translate(_SHAPE)
    spans = [found.span() for found in _CLUSTER.finditer(shape)]
    return [span for span in spans if not _ISO_DATE.match(text, span[0]) and _SEVEN.search(text, *span)]


def ibans(text: str) -> Iterator[Span]:
    """Find account numbers whose country, length and checksum (ISO 13616, mod 97) agree."""
    for found in _IBAN.finditer(text):
        start, rest = found.start() - 2, found["rest"]
        head = text[start : found.end()].upper()
        missing = _IBAN_LENGTH.get(head[:2], 99) - 4
        ends = [found.end() + sign.end() for sign in re.finditer("[A-Za-z0-9]", rest)][:missing]
        if len(ends) < missing or not (_LEFT_EDGE.match(text, start) and _IBAN_RIGHT.match(text, ends[-1])):
            continue
        body = text[found.end() : ends[-1]].replace(" ", "").replace("-", "")
        if int("".join(str(int(sign, 36)) for sign in body + head)) % 97 == 1:
            yield start, ends[-1], "[IBAN]"


def numbers(text: str) -> Iterator[Span]:
    """Find cards, social security numbers and phones in each run of digits and separators."""
    done = 0
    for cluster in clusters(text):
        for group in _DIGITS.finditer(text, *cluster):
            start = group.start()
            if start < done:
                continue
            before = text[max(done, start - 2) : start]
            opened = len(before) - len(before.rstrip("(+"))
            span = next(filter(None, (_number_at(text, at) for at in range(start - opened, start + 1))), None)
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


def _ends(text: str, found: re.Match[str] | None, fewest: int, most: int) -> list[int]:
    """List where a number of so many digits may end: behind a whole group, at an edge."""
    count, ends = 0, list[int]()
    for group in _DIGITS.finditer(text, *found.span()) if found else ():
        count += len(group[0])
        if fewest <= count <= most and _RIGHT_EDGE.match(text, group.end()):
            ends.append(group.end())
    return ends


def _card_end(text: str, start: int) -> int:
    for end in reversed(_ends(text, _CARD.match(text, start), 13, 19)):
        digits = text[start:end].replace(" ", "").replace("-", "")
        if _NETWORK.fullmatch(digits) and _is_luhn(digits) and not (len(digits) == 13 and _is_ean(digits)):
            return end
    return 0


def _is_luhn(digits: str) -> bool:
    """Check the last digit by ISO/IEC 7812-1, annex B."""
    doubled = sum(int("0246813579"[int(digit)]) for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + doubled) % 10 == 0


def _is_ean(digits: str) -> bool:
    return (sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0


def _international_end(text: str, start: int) -> int:
    found = _INTERNATIONAL.match(text, start)
    if not found:
        return 0
    code, rest = found["country"], found["rest"]
    if len(rest) < 11 and rest.count(".") == 1 and rest.replace(".", "").isdigit():
        return 0  # +40.712776 is a coordinate.
    prefix = sum(sign.isdigit() for sign in text[start : found.start("rest")])
    most = _LONGEST.get(code, 15 - len(code)) + ("(0" in rest)
    fewest = 10 if code == "1" else 8 - len(code)
    ends = _ends(text, found, prefix + fewest, prefix + most)
    return ends[-1] if ends else 0


def _national_end(text: str, start: int) -> int:
    """End a national form, unless another number is announced, or mere digits where a phone is announced."""
    ends = _ends(text, _NATIONAL.match(text, start), 9, 12)
    if ends:
        return 0 if _announced(text, start) == "other" else ends[-1]
    ends = _ends(text, _BARE.match(text, start), 7, 15)
    return ends[-1] if ends and _announced(text, start) == "phone" else 0


def _announced(text: str, start: int) -> str:
    """Tell which kind of number the last telling word before `start` announces: `phone`, `other` or none."""
    before = text[max(0, start - 48) : start].lower()
    words = list(_WORD.finditer(before, 1 if start > 48 else 0))
    if not words:
        return ""
    kind = (words[-1].lastgroup or "").removesuffix("_sign")
    link = _LINK if kind == "phone" else _TIGHT_LINK
    return kind if link.fullmatch(before, words[-1].end()) else ""
