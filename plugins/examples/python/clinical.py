"""Reads the payloads of clinical records by the rules of the outbox contract (docs/outbox.md).

The fields are those of the schemas in schemas/, as `clinical_types.py` has them. The rules are those of the host and of
the SDK for Rust, so that the same payload is refused by every adapter. No message repeats a value.
"""

import datetime
import json
import re

from clinical_types import PARTS, TYPES
from patient import Invalid

# The aggregate type that a reference of this name must have. Only the subject is required.
REFERENCES = {"subject": "patient", "encounter": "encounter"}
PROBLEMS_MAX = 20

DAY = r"[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
CLOCK = r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"
CONTROL = r"\x00-\x1f\x7f-\x9f"

FORMS = {
    "text": (rf" *[^ {CONTROL}][^{CONTROL}]*", "must be text that is not blank, without control characters"),
    "note": (rf"[ \t\n\r]*[^ {CONTROL}](?:[^{CONTROL}]|[\t\n\r])*", "must be text that is not blank"),
    "uri": (rf"[A-Za-z][A-Za-z0-9+.-]*:[^ {CONTROL}]+", "is not an absolute URI, such as http://loinc.org"),
    "date": (DAY, "is not a date of the calendar (YYYY-MM-DD)"),
    "partial_date": (rf"{DAY}|[12][0-9]{{3}}(?:-(?:0[1-9]|1[0-2]))?", "is not a day, a month or a year"),
    "instant": (DAY + CLOCK + OFFSET, "is not a moment with its offset from UTC (YYYY-MM-DDThh:mm:ss+hh:mm or Z)"),
    "moment": (f"{DAY}(?:{CLOCK}{OFFSET})?", "is neither a day nor a moment with its offset"),
}

# An end that must not be before its start.
ORDERED = {
    "encounter": ("period.start", "period.end"),
    "condition": ("onset", "abatement"),
    "medication": ("effective.start", "effective.end"),
}
# Fields whose form alone allows days such as 31 February.
DAYS = {
    "condition": ["onset", "abatement"],
    "allergy": ["onset"],
    "medication": ["effective.start", "effective.end"],
}
VALUES = ["value_quantity", "value_concept", "value_string", "component"]
WITHOUT_VALUE = ["registered", "cancelled", "entered-in-error"]


def read(change):
    """The record's known fields. Raises `Invalid`."""
    kind = change.aggregate_type
    problems = []
    record = fields(parsed(kind, change.payload), TYPES[kind], "", problems)
    references(kind, change.references, problems)
    if not problems:
        rules(kind, record, problems)
    if problems:
        more = [f"and {len(problems) - PROBLEMS_MAX} more"] if len(problems) > PROBLEMS_MAX else []
        raise Invalid(f"payload is not of type {kind}: {'; '.join(problems[:PROBLEMS_MAX] + more)}")
    return record


def parsed(kind, payload):
    try:
        return json.loads(payload, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Invalid(f"payload is not of type {kind}: payload: is not JSON, or gives a field twice") from None


def unique(pairs):
    """Two programs could read a field that is given twice differently."""
    value = dict(pairs)
    return value if len(value) == len(pairs) else refuse(pairs)


def refuse(_):
    raise ValueError


def fields(value, spec, path, problems):
    """The known fields of an object. Others are passed over: a newer application may write more."""
    if not isinstance(value, dict):
        problems.append(f"{path or 'payload'}: must be a JSON object")
        return {}
    known = {}
    for field, form in spec.items():
        name, required, needed = re.fullmatch(r"(\w+)(!?)>?(\w*)", field).groups()
        at = f"{path}.{name}" if path else name
        if name in value:
            known[name] = checked(value[name], form, at, problems)
            if needed and needed not in value:
                problems.append(f"{at}: needs {needed} next to it")
        elif required:
            problems.append(f"{at}: is missing")
    return known


def checked(value, form, at, problems):
    """One value, by its form in `clinical_types.py`."""
    if isinstance(form, list):
        if value not in form:
            problems.append(f"{at}: is not one of {', '.join(form)}")
        return value
    name, mark, limits = re.fullmatch(r"(\w+)([*+ ]?)(.*)", form).groups()
    if mark in ("*", "+"):
        if not isinstance(value, list) or len(value) > int(limits) or (mark == "+" and not value):
            problems.append(f"{at}: must be a list of at most {limits}, and not empty where it is given")
            return []
        return [checked(item, name, f"{at}[{index}]", problems) for index, item in enumerate(value)]
    if name in PARTS:
        return fields(value, PARTS[name], at, problems)
    problem = number(value, limits) if name == "number" else text(value, name, limits)
    if problem:
        problems.append(f"{at}: {problem}")
    return value


def number(value, limits):
    low, high = map(float, limits.split())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "must be a number"
    return None if low <= value <= high else f"is not between {low:.0f} and {high:.0f}"


def text(value, name, characters_max):
    pattern, message = FORMS[name]
    if not isinstance(value, str):
        return "must be text"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "is not Unicode"
    if characters_max and len(value) > int(characters_max):
        return f"is too long: {len(value)} characters, at most {characters_max}"
    if not re.fullmatch(pattern, value) or (name in ("date", "instant") and not exists(value)):
        return message
    return None


def references(kind, given, problems):
    by_name = {reference.name: reference.aggregate_type for reference in given}
    if "subject" not in by_name:
        problems.append("refs.subject: is missing; it names the patient")
    for name, aggregate_type in REFERENCES.items():
        # An encounter refers to no other one.
        if name != kind and by_name.get(name, aggregate_type) != aggregate_type:
            problems.append(f"refs.{name}: must be of type {aggregate_type}")


def rules(kind, record, problems):
    """What a form alone does not express."""
    for path in DAYS.get(kind, []):
        day = value_at(record, path)
        if day and not exists(day):
            problems.append(f"{path}: is not a day of the calendar")
    start, end = (value_at(record, path) for path in ORDERED.get(kind, ["", ""]))
    if start and end and order(end, start) < 0:
        problems.append(f"{ORDERED[kind][1]}: is before {ORDERED[kind][0]}")
    if kind == "medication" and record.get("effective") == {}:
        problems.append("effective: must have start, end or both")
    if kind == "appointment" and order(record["end"], record["start"]) <= 0:
        problems.append("end: is not after start")
    if kind == "observation":
        values(record, problems)


def values(record, problems):
    """An observation has one value, unless its status explains why it has none."""
    count = sum(field in record for field in VALUES)
    if count > 1 or (count == 0 and record["status"] not in WITHOUT_VALUE):
        problems.append(f"payload: must have exactly one of {', '.join(VALUES)}, or a status without a value")
    bounds = record.get("reference_range")
    if bounds == {}:
        problems.append("reference_range: must have low, high or text")
    elif bounds and "low" in bounds and "high" in bounds and bounds["low"] > bounds["high"]:
        problems.append("reference_range.high: is below reference_range.low")


def value_at(record, path):
    """The value at a path such as `period.start`, or `None`."""
    for name in path.split("."):
        record = record.get(name) if record else None
    return record


def exists(text):
    """Whether a day is in the calendar; a month or a year alone always is."""
    try:
        return len(text) < 10 or bool(datetime.date.fromisoformat(text[:10]))
    except ValueError:
        return False


def order(left, right):
    """Below, at or above 0, as `left` is before, at or after `right`, by what both of them name."""
    moments = [moment(left), moment(right)]
    if None in moments:
        common = min(len(left), len(right), 10)
        moments = [left[:common], right[:common]]
    return (moments[0] > moments[1]) - (moments[0] < moments[1])


def moment(text):
    """The time in UTC, and the fraction of its second; `None` for a day, a month or a year."""
    parts = re.fullmatch(rf"({DAY}T[0-9:]{{8}})\.?([0-9]*)(Z|[+-][0-9:]{{5}})", text)
    if parts is None:
        return None
    local, fraction, offset = parts.groups()
    hours, minutes = (0, 0) if offset == "Z" else (int(offset[:3]), int(offset[0] + offset[4:]))
    utc = datetime.datetime.fromisoformat(local) - datetime.timedelta(hours=hours, minutes=minutes)
    return utc, fraction.ljust(9, "0")
