// Reads the payload of a `patient` change by the rules of the outbox contract (docs/outbox.md).
//
// The rules are those of the host and of the SDK for Rust, so that the same payload is refused by every adapter. They
// use no clock: every attempt gives the same answer. No message repeats a value: values are patients' data. One rule is
// missing: `JSON.parse` does not show that a field is given twice, and keeps the last.

const REQUIRED = ['patient_id', 'family_name', 'given_name', 'birth_date', 'gender'];

// The most characters in each field, in the order of the contract.
const CHARACTERS_MAX = {
  patient_id: 64, family_name: 255, given_name: 255, birth_date: 255, gender: 255, middle_name: 255,
  native_family_name: 255, native_given_name: 255, title: 64, suffix: 80, marital_status: 255, phone_home: 64,
  phone_mobile: 64, phone_work: 64, email: 255, street: 255, street_line_2: 80, city: 128, state: 128,
  postal_code: 32, country: 255, language: 35, race: 64, ethnicity: 64, national_id: 64, deceased_date: 255,
};

const WHITE_SPACE = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
// Without width: a name made of these alone is blank to everyone who reads it.
const INVISIBLE = `${WHITE_SPACE}\\u00ad\\u115f\\u1160\\u200b-\\u200f\\u2060\\u3164\\ufeff\\uffa0`;
const AROUND = new RegExp(`^[${WHITE_SPACE}]+|[${WHITE_SPACE}]+$`, 'gu');
const BLANK = new RegExp(`^[${INVISIBLE}]*$`, 'u');
const SHAPES = {
  patient_id: [/^[A-Za-z0-9._~-]{1,64}$/, 'must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`'],
  gender: [/^(male|female|other|unknown)$/, 'is not one of male, female, other, unknown'],
  marital_status: [
    /^(married|single|divorced|widowed|separated|domestic_partner)$/,
    'is not one of married, single, divorced, widowed, separated, domestic_partner',
  ],
  email: [new RegExp(`^[^@${WHITE_SPACE}]+@[^@${WHITE_SPACE}]+$`, 'u'), 'is not an e-mail address (name@domain)'],
  country: [/^[A-Za-z]{2,3}$/, 'is not a country code of two or three letters (ISO 3166-1)'],
  language: [/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/, 'is not a language tag (BCP 47)'],
};

const DAY_MS = 86_400_000;
// The earliest time zone is 14 hours ahead of UTC.
const EARLIEST_ZONE_MS = 14 * 3_600_000;
// Earlier times of a change, such as one in seconds, are not used.
const CREATED_AT_MS_MIN = 946_684_800_000;

// The payload breaks the contract; the message names fields and holds no value.
export class Invalid extends Error {}

// The patient's fields as trimmed text; a field that is absent is not in it. Throws `Invalid`.
export function read(change) {
  const object = parsed(change.payload);
  const problems = [];
  const patient = {};
  for (const [field, charactersMax] of Object.entries(CHARACTERS_MAX)) {
    const value = Object.hasOwn(object, field) ? object[field] : null;
    if (typeof value === 'string') {
      const text = value.replace(AROUND, '');
      const found = problemsOf(text, charactersMax);
      problems.push(...found.map((problem) => `${field}: ${problem}`));
      if (found.length === 0) patient[field] = text;
    } else if (value !== null) {
      problems.push(`${field}: must be text`);
    } else if (REQUIRED.includes(field)) {
      problems.push(`${field}: is missing`);
    }
  }
  for (const [field, [shape, message]] of Object.entries(SHAPES)) {
    if (field in patient && !shape.test(patient[field])) problems.push(`${field}: ${message}`);
  }
  if ('country' in patient) patient.country = patient.country.toUpperCase();
  problems.push(...problemsOfDates(patient, Number(change.createdAtMs)));
  if (problems.length > 0) throw new Invalid(`payload is not a patient: ${problems.join('; ')}`);
  if (patient.patient_id !== change.aggregateId) {
    throw new Invalid("payload's patient_id is not the change's aggregate_id");
  }
  return patient;
}

// Fields that are not known are passed over: a newer application may write more.
function parsed(payload) {
  let object;
  try {
    object = JSON.parse(payload);
  } catch {
    throw new Invalid('payload is not a patient: payload: is not JSON');
  }
  if (object === null || typeof object !== 'object' || Array.isArray(object)) {
    throw new Invalid('payload is not a patient: payload: is not a JSON object');
  }
  return object;
}

// A text must be visible, fit, and hold no control character.
function problemsOf(text, charactersMax) {
  const problems = [];
  if (BLANK.test(text)) problems.push('must not be empty');
  const characters = [...text].length;
  if (characters > charactersMax) problems.push(`is too long: ${characters} characters, at most ${charactersMax}`);
  if (/[\u0000-\u001f\u007f-\u009f]/u.test(text)) {
    problems.push('must not contain control characters such as a line break or a tab');
  }
  if (/[\ud800-\udfff]/u.test(text)) problems.push('is not Unicode');
  return problems;
}

function problemsOfDates(patient, createdAtMs) {
  const problems = [];
  const last = lastDay(createdAtMs);
  for (const field of ['birth_date', 'deceased_date']) {
    if (!(field in patient)) continue;
    if (!isDay(patient[field])) problems.push(`${field}: is not a date of the calendar (YYYY-MM-DD)`);
    else if (patient[field] > last) problems.push(`${field}: is in the future`);
    else if (patient[field] < '1850') problems.push(`${field}: is before the year 1850`);
  }
  // Days in this form are ordered as their text is.
  if (problems.length === 0 && patient.deceased_date < patient.birth_date) {
    problems.push('deceased_date: is before birth_date');
  }
  return problems;
}

// The latest day that anyone on earth writes at the time of the change.
function lastDay(createdAtMs) {
  if (createdAtMs < CREATED_AT_MS_MIN) return '9999-12-31';
  const days = Math.min(Math.floor((createdAtMs + EARLIEST_ZONE_MS) / DAY_MS), 2_932_896);
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

function isDay(text) {
  const parts = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(text);
  if (parts === null) return false;
  const [year, month, day] = parts.slice(1).map(Number);
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
}
