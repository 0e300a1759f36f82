"""Judges files of resources by two validators that know nothing of each other: the models of `fhir.resources` (R4B, whose
Patient is that of R4) and FHIR R4's JSON schema as HL7 publishes it. Prints each error as `FILE<TAB>VALIDATOR: MESSAGE`.

Usage: python validate.py SCHEMA FILE...
"""

import json
import sys

from fhir.resources.R4B import get_fhir_model_class
from jsonschema import Draft6Validator
from pydantic import ValidationError

schema = json.load(open(sys.argv[1], encoding="utf-8"))


def judge(resource: dict) -> list[str]:
    kind = resource["resourceType"]
    problems = []
    try:
        get_fhir_model_class(kind).model_validate(resource)
    except ValidationError as error:
        for found in error.errors():
            place = ".".join(str(part) for part in found["loc"])
            problems.append(f"fhir.resources: {kind}.{place}: {found['msg']}")
    # The definition of the one type: against the whole schema each error would be told for every type of FHIR.
    one = {"$ref": f"#/definitions/{kind}", "definitions": schema["definitions"]}
    for error in Draft6Validator(one).iter_errors(resource):
        place = ".".join(str(part) for part in error.absolute_path)
        problems.append(f"JSON schema: {kind}.{place}: {error.message[:200]}")
    return problems


for file in sys.argv[2:]:
    with open(file, encoding="utf-8") as text:
        for problem in judge(json.load(text)):
            print(f"{file}\t{problem}".replace("\n", " "))
