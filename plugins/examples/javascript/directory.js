// An HTTP adapter in JavaScript: keeps one JSON document for each patient at `{base_url}/patients/{id}`, and one for
// each clinical record at `{base_url}/conditions/{id}` and so on.
//
// The id in the address is the record's own, so that the same change twice writes the same document. The host adds the
// credentials and refuses every other address. What it may call, and what each failure means, is said in `wit/`.

import { baseUrl } from 'neuronova:sync/settings@0.2.0';

import { read as readRecord } from './clinical.js';
import { Invalid, read as readPatient } from './patient.js';

// Where the documents of each type are.
const FOLDERS = {
  patient: 'patients',
  encounter: 'encounters',
  condition: 'conditions',
  allergy: 'allergies',
  medication: 'medications',
  observation: 'observations',
  appointment: 'appointments',
};
const FIELDS = ['family_name', 'given_name', 'birth_date', 'gender', 'phone_mobile', 'email'];

// The host calls these, each time in a fresh instance.
export const httpAdapter = {
  describe() {
    const support = { operations: ['create', 'update', 'delete'], observes: false, schema: undefined };
    const aggregateTypes = Object.keys(FOLDERS).map((aggregateType) => ({ aggregateType, ...support }));
    return { name: 'example-directory', version: '0.1.0', aggregateTypes };
  },

  async check() {
    const response = await ask('GET', 'patients/');
    if (!response.ok) throw refusal(response, 'look at the directory');
    return { summary: 'a directory of patients', findings: [], state: new Uint8Array() };
  },

  async apply(context, changes) {
    const outcomes = [];
    // One after the other: what speaks for the whole target ends the batch.
    for (const change of changes) outcomes.push(await applyOne(context, change));
    return { outcomes, learned: undefined };
  },

  // Not called, since the description does not name it.
  async observe(_context, subjects) {
    return subjects.map(() => ({ tag: 'unknown', val: 'this adapter does not observe' }));
  },
};

async function applyOne(context, change) {
  if (!Object.hasOwn(FOLDERS, change.aggregateType)) {
    return failed('unsupported', 'only patients and clinical records are kept here');
  }
  if (change.operation === 'merge') return failed('unsupported', 'nothing is merged here');
  const path = `${FOLDERS[change.aggregateType]}/${encodeURIComponent(change.aggregateId)}`;
  if (change.operation === 'delete') {
    const response = await ask('DELETE', path);
    if (response.ok || response.status === 404) return applied(change, undefined);
    return judged(response, 'delete the document');
  }
  let document;
  try {
    document = documentOf(change);
  } catch (error) {
    if (error instanceof Invalid) return failed('invalid', error.message);
    throw error;
  }
  const headers = { 'content-type': 'application/json' };
  // Only over what we wrote ourselves, where the operator wants other people's edits kept.
  const known = change.link?.fingerprint === 'written' ? change.link.remoteVersion : undefined;
  if (context.onRemoteEdit === 'hold' && known) headers['if-match'] = known;
  const response = await ask('PUT', path, { headers, body: JSON.stringify(document) });
  if (response.status === 412) return failed('conflict', 'the document was edited at the directory');
  if (!response.ok) return judged(response, 'write the document');
  return applied(change, response.headers.get('etag') ?? undefined);
}

function documentOf(change) {
  if (change.aggregateType === 'patient') {
    const patient = readPatient(change);
    return Object.fromEntries(FIELDS.map((field) => [field, patient[field] ?? null]));
  }
  // The directory's own ids; the application's where the directory does not have such records.
  const references = change.references.map(({ name, remoteId, aggregateId }) => [name, remoteId ?? aggregateId]);
  return { ...readRecord(change), references: Object.fromEntries(references) };
}

// An answer of any status; that there is none speaks for the target as a whole.
async function ask(method, path, more = {}) {
  try {
    const response = await fetch(`${baseUrl()}/${path}`, { method, ...more });
    // Read to its end although nobody needs it: until then the host counts the request as in flight.
    await response.arrayBuffer();
    return response;
  } catch {
    throw { kind: 'unavailable', message: `${method} of a document was not answered`, retryAfterMs: undefined };
  }
}

// What a status means for this change. What speaks for the target as a whole ends the batch.
function judged(response, doing) {
  const failure = refusal(response, doing);
  if (['invalid', 'denied', 'transient'].includes(failure.kind)) return { tag: 'failed', val: failure };
  throw failure;
}

function refusal(response, doing) {
  const message = `${doing}: the directory answered ${response.status}`;
  const seconds = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  const retryAfterMs = Number.isNaN(seconds) ? undefined : BigInt(seconds) * 1000n;
  return { kind: kindOf(response.status), message, retryAfterMs };
}

function kindOf(status) {
  if (status === 429) return 'throttled';
  if (status === 401 || status === 403 || status === 404 || status === 405) return 'misconfigured';
  if (status === 502 || status === 503 || status === 504) return 'unavailable';
  if (status >= 400 && status < 500) return 'invalid';
  return 'transient';
}

function applied(change, version) {
  const fingerprint = version === undefined ? undefined : 'written';
  return { tag: 'applied', val: { remoteId: change.aggregateId, remoteVersion: version, fingerprint } };
}

function failed(kind, message) {
  return { tag: 'failed', val: { kind, message, retryAfterMs: undefined } };
}
