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
from fhir.resources.R4B.allergyintolerance import AllergyIntolerance  # noqa: E402
from fhir.resources.R4B.appointment import Appointment  # noqa: E402
from fhir.resources.R4B.bundle import Bundle  # noqa: E402
from fhir.resources.R4B.condition import Condition  # noqa: E402
from fhir.resources.R4B.encounter import Encounter  # noqa: E402
from fhir.resources.R4B.medicationstatement import MedicationStatement  # noqa: E402
from fhir.resources.R4B.observation import Observation  # noqa: E402
from fhir.resources.R4B.patient import Patient  # noqa: E402
from fhirstarter import FHIRProvider, FHIRStarter, InteractionContext  # noqa: E402
from fhirstarter.exceptions import FHIRResourceNotFoundError  # noqa: E402

TYPES = [Patient, Encounter, Condition, AllergyIntolerance, MedicationStatement, Observation, Appointment]

provider = FHIRProvider()


def provide(model: type) -> None:
    """One type, over a dictionary of its own."""
    records: dict[str, model] = {}

    @provider.create(model)
    async def create(context: InteractionContext, resource: model) -> str:
        resource.id = uuid.uuid4().hex
        records[resource.id] = resource
        return resource.id

    @provider.read(model)
    async def read(context: InteractionContext, id_: str) -> model:
        if id_ not in records:
            raise FHIRResourceNotFoundError
        return records[id_]

    @provider.update(model)
    async def update(context: InteractionContext, id_: str, resource: model) -> model:
        if id_ not in records:
            raise FHIRResourceNotFoundError
        resource.id = id_
        records[id_] = resource
        return resource

    @provider.delete(model)
    async def delete(context: InteractionContext, id_: str) -> None:
        if records.pop(id_, None) is None:
            raise FHIRResourceNotFoundError

    @provider.search_type(model)
    async def search(context: InteractionContext, identifier: list[str] | None) -> Bundle:
        found = [resource for resource in records.values() if all(carries(resource, one) for one in identifier or [])]
        return Bundle(
            type="searchset",
            total=len(found),
            entry=[{"resource": resource, "search": {"mode": "match"}} for resource in found],
        )


def carries(resource: object, token: str) -> bool:
    system, _, value = token.rpartition("|")
    return any(
        (identifier.value == value or not value)
        and ("|" not in token or (identifier.system or "") == system)
        for identifier in resource.identifier or []
    )


for each in TYPES:
    provide(each)

app = FHIRStarter(title="FHIRStarter")
app.add_providers(provider)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
