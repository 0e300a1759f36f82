"""FHIRStarter, the framework in which Canvas Medical's FHIR API is written, over a dictionary, on 127.0.0.1.

What it is unlike others in, all of it the framework's own doing: no Bundles, no conditional requests (their headers and a
`PUT Patient?identifier=` mean nothing to it), no versions and no ETags, ids from the server alone, an empty body after a
create, R4B by name, a record that was deleted is 404. What is ours: the dictionary.

Usage: python server.py PORT
"""

import os
import sys
import uuid

# Before the framework is read: it would speak R5.
os.environ["FHIR_SEQUENCE"] = "R4B"

import uvicorn  # noqa: E402
from fhir.resources.R4B.bundle import Bundle  # noqa: E402
from fhir.resources.R4B.patient import Patient  # noqa: E402
from fhirstarter import FHIRProvider, FHIRStarter, InteractionContext  # noqa: E402
from fhirstarter.exceptions import FHIRResourceNotFoundError  # noqa: E402

records: dict[str, Patient] = {}
provider = FHIRProvider()


@provider.create(Patient)
async def create(context: InteractionContext, patient: Patient) -> str:
    patient.id = uuid.uuid4().hex
    records[patient.id] = patient
    return patient.id


@provider.read(Patient)
async def read(context: InteractionContext, id_: str) -> Patient:
    if id_ not in records:
        raise FHIRResourceNotFoundError
    return records[id_]


@provider.update(Patient)
async def update(context: InteractionContext, id_: str, patient: Patient) -> Patient:
    if id_ not in records:
        raise FHIRResourceNotFoundError
    patient.id = id_
    records[id_] = patient
    return patient


@provider.delete(Patient)
async def delete(context: InteractionContext, id_: str) -> None:
    if records.pop(id_, None) is None:
        raise FHIRResourceNotFoundError


@provider.search_type(Patient)
async def search(context: InteractionContext, identifier: list[str] | None) -> Bundle:
    found = [patient for patient in records.values() if all(carries(patient, token) for token in identifier or [])]
    return Bundle(
        type="searchset",
        total=len(found),
        entry=[{"resource": patient, "search": {"mode": "match"}} for patient in found],
    )


def carries(patient: Patient, token: str) -> bool:
    system, _, value = token.rpartition("|")
    return any(
        identifier.value == value and ("|" not in token or (identifier.system or "") == system)
        for identifier in patient.identifier or []
    )


app = FHIRStarter(title="FHIRStarter")
app.add_providers(provider)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
