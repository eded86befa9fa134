"""Patterns for the values of ``format``, each within what common validators and parsers accept.

An unknown format is an annotation, as the specification has it; a known one that has no pattern is
refused. Narrower than the standards where parsers are: no leap seconds, no year 0, lengths bounded.
llguidance's own patterns are wider (any year has a 29 February), and it refuses the formats that it lacks.
"""

from __future__ import annotations

_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"  # no year 0
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    rf"|{_LEAP_YEAR}-02-29)"
)
_TIME = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_CLOCK_DURATION = r"T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)"
_DAY_DURATION = r"(?:[0-9]{1,9}D|[0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?)"
_DURATION = rf"P(?:{_DAY_DURATION}(?:{_CLOCK_DURATION})?|{_CLOCK_DURATION}|[0-9]{{1,9}}W)"
# No "--", which in third place marks an encoded name; at most 4 labels of 60 stay below 253 characters.
_LABEL = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,29}"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL}){{0,3}}"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
_EMAIL = rf"{_ATOM}(?:\.{_ATOM}){{0,2}}@{_LABEL}(?:\.{_LABEL}){{1,3}}"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_HEXTET = r"[0-9A-Fa-f]{1,4}"
_IPV6 = (
    rf"(?:(?:{_HEXTET}:){{7}}{_HEXTET}|(?:{_HEXTET}:){{1,7}}:"
    + "".join(rf"|(?:{_HEXTET}:){{1,{7 - n}}}(?::{_HEXTET}){{1,{n}}}" for n in range(1, 7))
    + rf"|:(?::{_HEXTET}){{1,7}}|::)"
)
_UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_PATH_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_TAIL = rf"(?:/{_PATH_CHARACTER}*)*(?:\?(?:{_PATH_CHARACTER}|[/?])*)?(?:#(?:{_PATH_CHARACTER}|[/?])*)?"
_URI = (
    r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}://(?:[A-Za-z0-9._~-]+@)?"
    rf"(?:{_HOSTNAME}|{_IPV4})(?::[0-9]{{1,4}})?{_TAIL}"
    rf"|(?:urn|mailto|tel|data):{_PATH_CHARACTER}+{_TAIL})"
)
_JSON_POINTER = r"(?:/(?:[^/~]|~[01])*)*"

PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOSTNAME,
    "idn-hostname": _HOSTNAME,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uuid": _UUID,
    "uri": _URI,
    "iri": _URI,
    "uri-reference": _URI,
    "iri-reference": _URI,
    "json-pointer": _JSON_POINTER,
    "relative-json-pointer": rf"(?:0|[1-9]{{1,3}})(?:#|{_JSON_POINTER})",
}
UNSUPPORTED = frozenset({"uri-template", "regex"})


def pattern_of(format_name: str) -> str | None:
    """Returns the anchored expression (in Rust's dialect), or None where the format says nothing."""
    pattern = PATTERNS.get(format_name)
    return None if pattern is None else f"^(?:{pattern})$"
