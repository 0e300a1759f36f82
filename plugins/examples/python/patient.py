"""Reads the payload of a `patient` change by the rules of the outbox contract (docs/outbox.md).

The rules are those of the host and of the SDK for Rust, so that the same payload is refused by every adapter. They use
no clock: every attempt gives the same answer. No message repeats a value: values are patients' data.
"""

import datetime
import json
import re

REQUIRED = ["patient_id", "family_name", "given_name", "birth_date", "gender"]

# The most characters in each field, in the order of the contract.
CHARACTERS_MAX = {
    "patient_id": 64,
    "family_name": 255,
    "given_name": 255,
    "birth_date": 255,
    "gender": 255,
    "middle_name": 255,
    "native_family_name": 255,
    "native_given_name": 255,
    "title": 64,
    "suffix": 80,
    "marital_status": 255,
    "phone_home": 64,
    "phone_mobile": 64,
    "phone_work": 64,
    "email": 255,
    "street": 255,
    "street_line_2": 80,
    "city": 128,
    "state": 128,
    "postal_code": 32,
    "country": 255,
    "language": 35,
    "race": 64,
    "ethnicity": 64,
    "national_id": 64,
    "deceased_date": 255,
}

WHITE_SPACE = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# Without width: a name made of these alone is blank to everyone who reads it.
INVISIBLE = WHITE_SPACE + "\u00ad\u115f\u1160\u200b\u200c\u200d\u200e\u200f\u2060\u3164\ufeff\uffa0"
GENDERS = ["male", "female", "other", "unknown"]
MARITAL_STATUSES = ["married", "single", "divorced", "widowed", "separated", "domestic_partner"]
EMAIL = re.compile(rf"[^@{WHITE_SPACE}]+@[^@{WHITE_SPACE}]+")
COUNTRY = re.compile(r"[A-Za-z]{2,3}")
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
PATIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")

EPOCH = datetime.datetime(1970, 1, 1)
# The earliest time zone is 14 hours ahead of UTC.
EARLIEST_ZONE = datetime.timedelta(hours=14)
# Earlier times of a change, such as one in seconds, are not used.
CREATED_AT_MS_MIN = 946_684_800_000


class Invalid(Exception):
    """The payload breaks the contract; the message names fields and holds no value."""


def read(change):
    """The patient's fields as trimmed text; a field that is absent is not in it. Raises `Invalid`."""
    problems = []
    values = fields(change.payload, problems)
    patient = {}
    for field, characters_max in CHARACTERS_MAX.items():
        if field in values:
            text(patient, field, values[field], characters_max, problems)
        elif field in REQUIRED and not any(found.startswith(f"{field}: ") for found in problems):
            problems.append(f"{field}: is missing")
    shape(patient, change.created_at_ms, problems)
    if problems:
        raise Invalid(f"payload is not a patient: {'; '.join(problems)}")
    if patient["patient_id"] != change.aggregate_id:
        raise Invalid("payload's patient_id is not the change's aggregate_id")
    return patient


def fields(payload, problems):
    """The known fields that are text. Other fields are passed over: a newer application may write more."""
    try:
        pairs = json.loads(payload, object_pairs_hook=Pairs, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise Invalid("payload is not a patient: payload: is not JSON") from None
    if not isinstance(pairs, Pairs):
        raise Invalid("payload is not a patient: payload: is not a JSON object")
    values = {}
    seen = set()
    for field, value in pairs:
        if field not in CHARACTERS_MAX:
            continue
        if field in seen:
            problems.append(f"{field}: is given twice")
        elif isinstance(value, str):
            values[field] = value
        elif value is not None:
            problems.append(f"{field}: must be text")
        seen.add(field)
    return values


class Pairs(list):
    """An object, with fields that are given twice."""


def refuse_constant(_):
    raise ValueError


def text(patient, field, value, characters_max, problems):
    """One field: trimmed, visible, of a length that fits, without control characters."""
    value = value.strip(WHITE_SPACE)
    before = len(problems)
    if not value.strip(INVISIBLE):
        problems.append(f"{field}: must not be empty")
    if len(value) > characters_max:
        problems.append(f"{field}: is too long: {len(value)} characters, at most {characters_max}")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in value):
        problems.append(f"{field}: must not contain control characters such as a line break or a tab")
    if any("\ud800" <= character <= "\udfff" for character in value):
        problems.append(f"{field}: is not Unicode")
    if len(problems) == before:
        patient[field] = value


def shape(patient, created_at_ms, problems):
    """The fields whose text has a form."""

    def must(field, is_right, message):
        if field in patient and not is_right(patient[field]):
            problems.append(f"{field}: {message}")

    must("patient_id", PATIENT_ID.fullmatch, "must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`")
    must("gender", GENDERS.__contains__, f"is not one of {', '.join(GENDERS)}")
    must("marital_status", MARITAL_STATUSES.__contains__, f"is not one of {', '.join(MARITAL_STATUSES)}")
    must("email", EMAIL.fullmatch, "is not an e-mail address (name@domain)")
    must("country", COUNTRY.fullmatch, "is not a country code of two or three letters (ISO 3166-1)")
    must("language", LANGUAGE.fullmatch, "is not a language tag (BCP 47)")
    if COUNTRY.fullmatch(patient.get("country", "")):
        patient["country"] = patient["country"].upper()
    last = last_day(created_at_ms)
    birth, death = (date(patient, field, last, problems) for field in ["birth_date", "deceased_date"])
    if birth and death and death < birth:
        problems.append("deceased_date: is before birth_date")


def last_day(created_at_ms):
    """The latest day that anyone on earth writes at the time of the change."""
    if created_at_ms < CREATED_AT_MS_MIN:
        return datetime.date.max
    try:
        return (EPOCH + datetime.timedelta(milliseconds=created_at_ms) + EARLIEST_ZONE).date()
    except OverflowError:
        return datetime.date.max


def date(patient, field, last, problems):
    """A day of the calendar, `YYYY-MM-DD`, that is believed; else `None`."""
    value = patient.get(field)
    if value is None:
        return None
    try:
        day = datetime.date(*map(int, re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", value).groups()))
    except (AttributeError, ValueError):
        problems.append(f"{field}: is not a date of the calendar (YYYY-MM-DD)")
        return None
    if day > last:
        problems.append(f"{field}: is in the future")
    elif day.year < 1850:
        problems.append(f"{field}: is before the year 1850")
    else:
        return day
    return None
