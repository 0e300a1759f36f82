// A database adapter in JavaScript: keeps one row of `example_chart` for each patient.
//
// It writes no other table. What it may call, and what each kind of failure means, is said in `wit/`.

import { Invalid, read } from './patient.js';

const TABLE = 'example_chart';
const COLUMNS = ['family_name', 'given_name', 'birth_date', 'phone'];

// The host calls these, each time in a fresh instance.
export const databaseAdapter = {
  describe() {
    const patients = {
      aggregateType: 'patient',
      operations: ['create', 'update', 'delete'],
      observes: false,
      schema: undefined,
    };
    return { name: 'example-chart', version: '0.1.0', aggregateTypes: [patients] };
  },

  // Asks for every column without reading a row, so that `host check` can say what is missing.
  check(db) {
    const sql = `SELECT patient_id, ${COLUMNS.join(', ')} FROM ${TABLE} WHERE 1 = 0`;
    run(`look at ${TABLE}`, () => db.query(sql, [], 1));
    return { summary: `a table ${TABLE}`, findings: [], state: new Uint8Array() };
  },

  apply(db, _context, changes) {
    return { outcomes: changes.map((change) => applyOne(db, change)), learned: undefined };
  },

  // Not called, since the description does not name it.
  observe(_db, _context, subjects) {
    return subjects.map(() => ({ tag: 'unknown', val: 'this adapter does not observe' }));
  },
};

// What concerns one change becomes its outcome; what the database refuses speaks for the batch.
function applyOne(db, change) {
  if (change.aggregateType !== 'patient') return failed('unsupported', 'only patients are kept here');
  if (change.operation === 'merge') return failed('unsupported', 'patients are not merged here');
  const key = { tag: 'text', val: change.aggregateId };
  if (change.operation === 'delete') {
    run(`delete from ${TABLE}`, () => db.execute(`DELETE FROM ${TABLE} WHERE patient_id = ?`, [key]));
    return applied(change);
  }
  let parameters;
  try {
    parameters = parametersOf(read(change));
  } catch (error) {
    if (error instanceof Invalid) return failed('invalid', error.message);
    throw error;
  }
  // Rows matched, not rows changed: the same change may come twice, and must then do nothing new.
  const assignments = COLUMNS.map((column) => `${column} = ?`).join(', ');
  const update = `UPDATE ${TABLE} SET ${assignments} WHERE patient_id = ?`;
  const { rowsAffected } = run(`update ${TABLE}`, () => db.execute(update, [...parameters, key]));
  if (rowsAffected === 0n) {
    const insert = `INSERT INTO ${TABLE} (patient_id, ${COLUMNS.join(', ')}) VALUES (?, ?, ?, ?, ?)`;
    run(`insert into ${TABLE}`, () => db.execute(insert, [key, ...parameters]));
  }
  return applied(change);
}

function parametersOf(patient) {
  const values = [patient.family_name, patient.given_name, patient.birth_date, patient.phone_mobile ?? null];
  return values.map((value) => (value === null ? { tag: 'null' } : { tag: 'text', val: value }));
}

// The chart's number is the patient's own id.
function applied(change) {
  const val = { remoteId: change.aggregateId, remoteVersion: undefined, fingerprint: undefined };
  return { tag: 'applied', val };
}

function failed(kind, message) {
  return { tag: 'failed', val: { kind, message, retryAfterMs: undefined } };
}

// What a database's error means for the batch. The host rolls back, and halves the batch unless the kind speaks of the
// target as a whole.
const KINDS = {
  unavailable: 'unavailable',
  'missing-object': 'misconfigured',
  'permission-denied': 'misconfigured',
  refused: 'misconfigured',
  'invalid-value': 'invalid',
};

// One statement; its error becomes a failure that says what was being done.
function run(doing, statement) {
  try {
    return statement();
  } catch (error) {
    const { kind, message } = error.payload;
    throw { kind: KINDS[kind] ?? 'transient', message: `${doing}: ${message}`, retryAfterMs: undefined };
  }
}
