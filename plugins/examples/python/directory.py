"""An HTTP adapter in Python: keeps one JSON document for each patient at `{base_url}/patients/{id}`, and one for each
clinical record at `{base_url}/conditions/{id}` and so on.

The id in the address is the record's own, so that the same change twice writes the same document. The host adds the
credentials and refuses every other address. What it may call, and what each failure means, is said in `wit/`.
"""

import json
from urllib.parse import quote, urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import neuronova_sync_types as types
from wit_world.imports import outgoing_handler, settings
from wit_world.imports import wasi_http_types as http
from wit_world.imports.neuronova_sync_types import (
    AggregateSupport,
    Applied,
    Failure,
    FailureKind,
    Observation_Unknown,
    Operation,
    Outcome_Applied,
    Outcome_Failed,
    Receipt,
    RemoteEdit,
)

import clinical
import patient as contract

# Where the documents of each type are.
FOLDERS = {
    "patient": "patients",
    "encounter": "encounters",
    "condition": "conditions",
    "allergy": "allergies",
    "medication": "medications",
    "observation": "observations",
    "appointment": "appointments",
}
FIELDS = ["family_name", "given_name", "birth_date", "gender", "phone_mobile", "email"]
METHODS = {"GET": http.Method_Get(), "PUT": http.Method_Put(), "DELETE": http.Method_Delete()}


class HttpAdapter(exports.HttpAdapter):
    """The host calls these, each time in a fresh instance."""

    def describe(self):
        operations = [Operation.CREATE, Operation.UPDATE, Operation.DELETE]
        kinds = [AggregateSupport(kind, operations, observes=False, schema=None) for kind in FOLDERS]
        return types.Descriptor("example-directory", "0.1.0", kinds)

    def check(self):
        status, headers = ask("GET", "patients/")
        if status >= 300:
            raise Err(refusal(status, headers, "look at the directory"))
        return types.Report("a directory of patients", [], b"")

    def apply(self, context, changes):
        # One after the other: what speaks for the whole target ends the batch.
        return Applied([apply_one(context, change) for change in changes], learned=None)

    def observe(self, context, subjects):
        """Not called, since the description does not name it."""
        return [Observation_Unknown("this adapter does not observe") for _ in subjects]


def apply_one(context, change):
    if change.aggregate_type not in FOLDERS:
        return failed(FailureKind.UNSUPPORTED, "only patients and clinical records are kept here")
    if change.operation == Operation.MERGE:
        return failed(FailureKind.UNSUPPORTED, "nothing is merged here")
    path = f"{FOLDERS[change.aggregate_type]}/{quote(change.aggregate_id, safe='')}"
    if change.operation == Operation.DELETE:
        status, headers = ask("DELETE", path)
        if status < 300 or status == 404:
            return applied(change, None)
        return judged(status, headers, "delete the document")
    try:
        document = document_of(change)
    except contract.Invalid as error:
        return failed(FailureKind.INVALID, str(error))
    more = [("content-type", b"application/json")]
    # Only over what we wrote ourselves, where the operator wants other people's edits kept.
    known = change.link.remote_version if change.link and change.link.fingerprint == "written" else None
    if context.on_remote_edit == RemoteEdit.HOLD and known:
        more.append(("if-match", known.encode()))
    status, headers = ask("PUT", path, more, json.dumps(document, ensure_ascii=False).encode())
    if status == 412:
        return failed(FailureKind.CONFLICT, "the document was edited at the directory")
    if status >= 300:
        return judged(status, headers, "write the document")
    return applied(change, headers.get("etag"))


def document_of(change):
    if change.aggregate_type == "patient":
        patient = contract.read(change)
        return {field: patient.get(field) for field in FIELDS}
    # The directory's own ids; the application's where the directory does not have such records.
    references = {reference.name: reference.remote_id or reference.aggregate_id for reference in change.references}
    return clinical.read(change) | {"references": references}


def applied(change, version):
    return Outcome_Applied(Receipt(change.aggregate_id, version, "written" if version else None))


def failed(kind, message):
    return Outcome_Failed(Failure(kind, message, None))


def judged(status, headers, doing):
    """What a status means for this change. What speaks for the target as a whole ends the batch."""
    failure = refusal(status, headers, doing)
    if failure.kind in (FailureKind.INVALID, FailureKind.TRANSIENT):
        return Outcome_Failed(failure)
    raise Err(failure)


def refusal(status, headers, doing):
    kinds = {429: FailureKind.THROTTLED}
    kinds |= dict.fromkeys([401, 403, 404, 405], FailureKind.MISCONFIGURED)
    kinds |= dict.fromkeys([502, 503, 504], FailureKind.UNAVAILABLE)
    otherwise = FailureKind.INVALID if 400 <= status < 500 else FailureKind.TRANSIENT
    seconds = headers.get("retry-after", "")
    wait = int(seconds) * 1000 if seconds.isdigit() else None
    return Failure(kinds.get(status, otherwise), f"{doing}: the directory answered {status}", wait)


def ask(method, path, headers=(), body=b""):
    """The status and headers of an answer; that there is none speaks for the target as a whole."""
    try:
        return send(method, path, headers, body)
    except Err:
        raise Err(Failure(FailureKind.UNAVAILABLE, f"{method} of a document was not answered", None)) from None


def send(method, path, headers, body):
    url = urlsplit(f"{settings.base_url()}/{path}")
    request = http.OutgoingRequest(http.Fields.from_list(list(headers)))
    request.set_method(METHODS[method])
    request.set_scheme(http.Scheme_Https() if url.scheme == "https" else http.Scheme_Http())
    request.set_authority(url.netloc)
    request.set_path_with_query(url.path)
    outgoing = request.body()
    waiting = outgoing_handler.handle(request, None)
    with outgoing.write() as stream:
        # As much as one write takes.
        for start in range(0, len(body), 4096):
            stream.blocking_write_and_flush(body[start : start + 4096])
    http.OutgoingBody.finish(outgoing, None)
    with waiting.subscribe() as answered:
        answered.block()
    response = waiting.get().value
    if not isinstance(response, Ok):
        raise response
    found = {name.lower(): value.decode(errors="replace") for name, value in response.value.headers().entries()}
    return response.value.status(), found
