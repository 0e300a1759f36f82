//! The words of a server's text that may be repeated: FHIR's own, and common ones of validators.
//!
//! A word belongs here if it describes a problem of a request and nothing of a patient. So there are no words for a
//! gender, a month, a street or a language, and only names of types begin with a capital.

/// Whether it is a common word of validators.
pub(super) fn is_word(word: &str) -> bool {
    WORDS.binary_search(&word).is_ok() || CAPITALS.contains(&word)
}

/// Whether it is the name of a type, of an element that we write, or of a part of a Bundle. Names that are also medical
/// terms (`high`, `severity`, `reaction`) are excluded: a value may contain them.
pub(super) fn is_element(name: &str) -> bool {
    ELEMENTS.binary_search(&name).is_ok()
}

/// FHIR's codes of an issue.
#[rustfmt::skip]
pub(super) const ISSUE_CODES: [&str; 33] = [
    "business-rule", "code-invalid", "conflict", "deleted", "duplicate", "exception", "expired", "extension",
    "forbidden", "incomplete", "informational", "invalid", "invariant", "limited-filter", "lock-error", "login",
    "multiple-matches", "no-store", "not-found", "not-supported", "processing", "required", "security", "structure",
    "success", "suppressed", "throttled", "timeout", "too-costly", "too-long", "transient", "unknown", "value",
];

/// Statuses of HTTP that servers name.
#[rustfmt::skip]
pub(super) const STATUSES: [&str; 25] = [
    "200", "201", "204", "304", "400", "401", "403", "404", "405", "406", "408", "409", "410", "412", "413", "415",
    "422", "423", "428", "429", "500", "501", "502", "503", "504",
];

/// Words in capitals.
#[rustfmt::skip]
const CAPITALS: [&str; 7] = [
    "FHIR", "HTTP", "JSON", "URI", "URL", "UUID", "XML",
];

/// Sorted by bytes.
#[rustfmt::skip]
const ELEMENTS: [&str; 140] = [
    "Address", "AllergyIntolerance", "Annotation", "Appointment", "Bundle", "CodeableConcept", "Coding", "Condition",
    "ContactPoint", "Encounter", "Extension", "HumanName", "Identifier", "MedicationStatement", "Meta", "Narrative",
    "Observation", "OperationOutcome", "Patient", "Period", "Quantity", "Reference", "abatementDateTime", "active",
    "actor", "address", "assigner", "birthDate", "category", "city", "class", "clinicalStatus", "code", "coding",
    "communication", "component", "contact", "contained", "contentType", "context", "country", "criticality", "data",
    "dataAbsentReason", "dateAsserted", "deceased", "deceasedBoolean", "deceasedDateTime", "description", "display",
    "district", "div", "dosage", "effectiveDateTime", "effectivePeriod", "encounter", "end", "entry", "extension",
    "family", "fullUrl", "gender", "generalPractitioner", "given", "id", "identifier", "ifMatch", "ifNoneExist",
    "ifNoneMatch", "implicitRules", "individual", "interpretation", "language", "lastUpdated", "line", "link",
    "location", "managingOrganization", "manifestation", "maritalStatus", "medicationCodeableConcept", "meta",
    "method", "modifierExtension", "multipleBirth", "multipleBirthBoolean", "multipleBirthInteger", "name", "note",
    "onsetDateTime", "organization", "participant", "period", "photo", "postalCode", "preferred", "prefix", "profile",
    "rank", "reasonCode", "recordedDate", "reference", "referenceRange", "relationship", "request", "resource",
    "resourceType", "response", "security", "serviceType", "source", "start", "state", "status", "subject", "suffix",
    "system", "tag", "telecom", "text", "type", "unit", "url", "use", "userSelected", "value", "valueBoolean",
    "valueCode", "valueCodeableConcept", "valueCoding", "valueDate", "valueDateTime", "valueIdentifier",
    "valueQuantity", "valueReference", "valueString", "valueUri", "verificationStatus", "version", "versionId",
];

/// Sorted by bytes.
#[rustfmt::skip]
const WORDS: [&str; 258] = [
    "a", "all", "allowed", "already", "an", "and", "any", "are", "array", "as", "at", "attribute", "be", "been",
    "before", "being", "between", "binding", "body", "both", "but", "by", "can", "cannot", "cardinality", "character",
    "characters", "choice", "client", "coded", "codes", "conditional", "conflict", "conform", "conformance",
    "constraint", "constraints", "contain", "contains", "content", "could", "create", "created", "datatype", "date",
    "dates", "datetime", "decimal", "declared", "default", "defined", "definition", "deleted", "did", "do", "does",
    "duplicate", "duplicates", "during", "each", "either", "element", "elements", "empty", "encountered", "error",
    "errors", "exactly", "exceed", "exceeds", "exist", "existing", "exists", "expected", "expression", "extensions",
    "extra", "failed", "failure", "failures", "field", "fields", "find", "for", "format", "found", "from", "greater",
    "had", "has", "have", "header", "identifiers", "ids", "if", "in", "include", "included", "incorrect", "index",
    "input", "instance", "integer", "internal", "into", "invalid", "is", "issue", "issues", "it", "its", "key",
    "known", "languages", "least", "length", "less", "level", "list", "literal", "long", "lower", "match", "matched",
    "matches", "matching", "maximum", "message", "minimum", "missing", "more", "most", "multiple", "must",
    "narrative", "neither", "no", "non", "none", "nor", "not", "null", "number", "object", "occurrences", "of", "on",
    "once", "one", "only", "operation", "optional", "or", "out", "outside", "over", "parameter", "parse", "parsed",
    "parsing", "path", "patient", "pattern", "perform", "position", "precondition", "present", "primitive", "problem",
    "processing", "profiles", "properties", "property", "provided", "range", "read", "reason", "received",
    "referenced", "references", "refused", "regex", "regular", "rejected", "repeat", "repeated", "required",
    "requires", "resolve", "resolved", "resources", "rule", "rules", "schema", "search", "server", "set", "shall",
    "short", "should", "size", "slice", "slices", "spaces", "specified", "stored", "string", "strings", "structure",
    "such", "supported", "syntax", "than", "that", "the", "there", "these", "this", "time", "timeout", "to", "too",
    "trailing", "transaction", "types", "unable", "unexpected", "unique", "unrecognized", "unsupported", "update",
    "updated", "upper", "uri", "used", "using", "uuid", "valid", "validate", "validation", "validator", "values",
    "versions", "violated", "violates", "violation", "was", "were", "when", "which", "whitespace", "with", "within",
    "without", "would", "write", "written", "wrong",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_lists_are_sorted_for_binary_search() {
        for list in [&ELEMENTS[..], &WORDS] {
            assert!(list.is_sorted_by(|a, b| a < b));
        }
        assert!(is_word("not") && is_element("birthDate") && is_element("Patient"));
    }

    #[test]
    fn only_types_and_a_few_protocol_names_are_capitalised() {
        assert!(WORDS.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
        for word in ["male", "female", "other", "may", "street", "korean", "Not", "Name"] {
            assert!(!is_word(word) && !is_element(word), "{word}");
        }
    }
}
