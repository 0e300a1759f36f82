// Reads the payloads of clinical records by the rules of the outbox contract (docs/outbox.md).
//
// The fields are those of the schemas in schemas/, as `clinical_types.js` has them. The rules are those of the host and
// of the SDK for Rust, so that the same payload is refused by every adapter. No message repeats a value. One rule is
// missing: `JSON.parse` does not show that a field is given twice, and keeps the last.

import { PARTS, TYPES } from './clinical_types.js';
import { Invalid } from './patient.js';

// The aggregate type that a reference of this name must have. Only the subject is required.
const REFERENCES = { subject: 'patient', encounter: 'encounter' };
const PROBLEMS_MAX = 20;

const DAY = '[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])';
const CLOCK = 'T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?';
const OFFSET = '(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)';
const CONTROL = '\\u0000-\\u001f\\u007f-\\u009f';
const whole = (pattern) => new RegExp(`^(?:${pattern})$`, 'u');

const FORMS = {
  text: [whole(` *[^ ${CONTROL}][^${CONTROL}]*`), 'must be text that is not blank, without control characters'],
  note: [whole(`[ \\t\\n\\r]*[^ ${CONTROL}](?:[^${CONTROL}]|[\\t\\n\\r])*`), 'must be text that is not blank'],
  uri: [whole(`[A-Za-z][A-Za-z0-9+.\\-]*:[^ ${CONTROL}]+`), 'is not an absolute URI, such as http://loinc.org'],
  date: [whole(DAY), 'is not a date of the calendar (YYYY-MM-DD)'],
  partial_date: [whole(`${DAY}|[12][0-9]{3}(?:-(?:0[1-9]|1[0-2]))?`), 'is not a day, a month or a year'],
  instant: [
    whole(DAY + CLOCK + OFFSET),
    'is not a moment with its offset from UTC (YYYY-MM-DDThh:mm:ss+hh:mm or Z)',
  ],
  moment: [whole(`${DAY}(?:${CLOCK}${OFFSET})?`), 'is neither a day nor a moment with its offset'],
};

// An end that must not be before its start.
const ORDERED = {
  encounter: ['period.start', 'period.end'],
  condition: ['onset', 'abatement'],
  medication: ['effective.start', 'effective.end'],
};
// Fields whose form alone allows days such as 31 February.
const DAYS = {
  condition: ['onset', 'abatement'],
  allergy: ['onset'],
  medication: ['effective.start', 'effective.end'],
};
const VALUES = ['value_quantity', 'value_concept', 'value_string', 'component'];
const WITHOUT_VALUE = ['registered', 'cancelled', 'entered-in-error'];

// The record's known fields. Throws `Invalid`.
export function read(change) {
  const kind = change.aggregateType;
  const problems = [];
  const record = fieldsOf(parsed(kind, change.payload), TYPES[kind], '', problems);
  checkReferences(kind, change.references, problems);
  if (problems.length === 0) checkRules(kind, record, problems);
  if (problems.length > 0) {
    const shown = problems.slice(0, PROBLEMS_MAX);
    if (problems.length > PROBLEMS_MAX) shown.push(`and ${problems.length - PROBLEMS_MAX} more`);
    throw new Invalid(`payload is not of type ${kind}: ${shown.join('; ')}`);
  }
  return record;
}

function parsed(kind, payload) {
  try {
    return JSON.parse(payload);
  } catch {
    throw new Invalid(`payload is not of type ${kind}: payload: is not JSON`);
  }
}

// The known fields of an object. Others are passed over: a newer application may write more.
function fieldsOf(value, spec, path, problems) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    problems.push(`${path || 'payload'}: must be a JSON object`);
    return {};
  }
  const known = {};
  for (const [field, form] of Object.entries(spec)) {
    const [, name, required, needed] = /^(\w+)(!?)>?(\w*)$/.exec(field);
    const at = path === '' ? name : `${path}.${name}`;
    if (Object.hasOwn(value, name)) {
      known[name] = checked(value[name], form, at, problems);
      if (needed && !Object.hasOwn(value, needed)) problems.push(`${at}: needs ${needed} next to it`);
    } else if (required) {
      problems.push(`${at}: is missing`);
    }
  }
  return known;
}

// One value, by its form in `clinical_types.js`.
function checked(value, form, at, problems) {
  if (Array.isArray(form)) {
    if (!form.includes(value)) problems.push(`${at}: is not one of ${form.join(', ')}`);
    return value;
  }
  const [, name, mark, limits] = /^(\w+)([*+ ]?)(.*)$/.exec(form);
  if (mark === '*' || mark === '+') {
    if (!Array.isArray(value) || value.length > Number(limits) || (mark === '+' && value.length === 0)) {
      problems.push(`${at}: must be a list of at most ${limits}, and not empty where it is given`);
      return [];
    }
    return value.map((item, index) => checked(item, name, `${at}[${index}]`, problems));
  }
  if (Object.hasOwn(PARTS, name)) return fieldsOf(value, PARTS[name], at, problems);
  const problem = name === 'number' ? problemOfNumber(value, limits) : problemOfText(value, name, limits);
  if (problem !== null) problems.push(`${at}: ${problem}`);
  return value;
}

function problemOfNumber(value, limits) {
  const [low, high] = limits.split(' ').map(Number);
  if (typeof value !== 'number') return 'must be a number';
  return value >= low && value <= high ? null : `is not between ${low} and ${high}`;
}

function problemOfText(value, name, charactersMax) {
  const [pattern, message] = FORMS[name];
  if (typeof value !== 'string') return 'must be text';
  if (/[\ud800-\udfff]/u.test(value)) return 'is not Unicode';
  const characters = [...value].length;
  if (charactersMax !== '' && characters > Number(charactersMax)) {
    return `is too long: ${characters} characters, at most ${charactersMax}`;
  }
  const isDay = name !== 'date' && name !== 'instant';
  return pattern.test(value) && (isDay || exists(value)) ? null : message;
}

function checkReferences(kind, given, problems) {
  const byName = Object.fromEntries(given.map((reference) => [reference.name, reference.aggregateType]));
  if (!Object.hasOwn(byName, 'subject')) problems.push('refs.subject: is missing; it names the patient');
  for (const [name, aggregateType] of Object.entries(REFERENCES)) {
    // An encounter refers to no other one.
    if (name !== kind && Object.hasOwn(byName, name) && byName[name] !== aggregateType) {
      problems.push(`refs.${name}: must be of type ${aggregateType}`);
    }
  }
}

// What a form alone does not express.
function checkRules(kind, record, problems) {
  for (const path of DAYS[kind] ?? []) {
    const day = valueAt(record, path);
    if (day !== undefined && !exists(day)) problems.push(`${path}: is not a day of the calendar`);
  }
  if (Object.hasOwn(ORDERED, kind)) {
    const [start, end] = ORDERED[kind].map((path) => valueAt(record, path));
    if (start !== undefined && end !== undefined && order(end, start) < 0) {
      problems.push(`${ORDERED[kind][1]}: is before ${ORDERED[kind][0]}`);
    }
  }
  if (kind === 'medication' && record.effective && Object.keys(record.effective).length === 0) {
    problems.push('effective: must have start, end or both');
  }
  if (kind === 'appointment' && order(record.end, record.start) <= 0) problems.push('end: is not after start');
  if (kind === 'observation') checkValues(record, problems);
}

// An observation has one value, unless its status explains why it has none.
function checkValues(record, problems) {
  const count = VALUES.filter((field) => field in record).length;
  if (count > 1 || (count === 0 && !WITHOUT_VALUE.includes(record.status))) {
    problems.push(`payload: must have exactly one of ${VALUES.join(', ')}, or a status without a value`);
  }
  const range = record.reference_range;
  if (range === undefined) return;
  if (Object.keys(range).length === 0) problems.push('reference_range: must have low, high or text');
  if (range.low > range.high) problems.push('reference_range.high: is below reference_range.low');
}

// The value at a path such as `period.start`, or undefined.
function valueAt(record, path) {
  return path.split('.').reduce((value, name) => value?.[name], record);
}

// Whether a day is in the calendar; a month or a year alone always is.
function exists(text) {
  if (text.length < 10) return true;
  const [year, month, day] = text.slice(0, 10).split('-').map(Number);
  return day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

// Below, at or above 0, as `left` is before, at or after `right`, by what both of them name.
function order(left, right) {
  const [first, second] = [moment(left), moment(right)];
  if (first !== null && second !== null) return first[0] - second[0] || first[1] - second[1];
  const common = Math.min(left.length, right.length, 10);
  const [before, after] = [left.slice(0, common), right.slice(0, common)];
  return before < after ? -1 : Number(before > after);
}

// Seconds since 1970 UTC and nanoseconds; null for a day, a month or a year.
function moment(text) {
  const pattern = /^([0-9-]{10})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.?([0-9]*)(?:Z|([+-])([0-9]{2}):([0-9]{2}))$/;
  const parts = pattern.exec(text);
  if (parts === null) return null;
  const [year, month, day] = parts[1].split('-').map(Number);
  const [hour, minute, second] = parts.slice(2, 5).map(Number);
  const offset = (parts[6] === '-' ? -60 : 60) * (Number(parts[7] ?? 0) * 60 + Number(parts[8] ?? 0));
  return [Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - offset, Number(parts[5].padEnd(9, '0'))];
}
