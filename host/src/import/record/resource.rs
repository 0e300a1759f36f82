//! A resource while its record is made: its elements, the fields so far, and what was left out of them.

use serde_json::{Map, Value, json};

use super::element::{self, entries};
use super::{Context, leaving_out, reference};
use crate::domain::clinical::ClinicalRecord;
use crate::domain::ids::AggregateKey;
use crate::domain::references::NamedReference;
use crate::import::draft::{Problem, problem};
use crate::import::fhir_types::{Entries, Identifier};
use crate::import::identity;
use crate::import::kind::Kind;
use crate::import::resource_type::WRONG_TYPE;

/// See the module.
#[allow(clippy::struct_field_names, reason = "FHIR's own name")]
pub(super) struct Resource<'a> {
    pub(super) resource_type: &'static str,
    pub(super) elements: Value,
    pub(super) context: &'a Context<'a>,
    pub(super) payload: Map<String, Value>,
    references: Vec<NamedReference>,
    left_out: Vec<Problem>,
    rejected: Vec<Problem>,
}

impl<'a> Resource<'a> {
    pub(super) fn new(resource_type: &'static str, elements: Value, context: &'a Context<'a>) -> Self {
        let (payload, references, left_out, rejected) = (Map::new(), Vec::new(), Vec::new(), Vec::new());
        Self { resource_type, elements, context, payload, references, left_out, rejected }
    }

    pub(super) fn text(&self, element: &str) -> Option<&str> {
        element::text(&self.elements, element)
    }

    pub(super) fn entries(&self, element: &str) -> &[Value] {
        entries(self.elements.get(element))
    }

    pub(super) fn first(&self, element: &str) -> Option<&Value> {
        self.entries(element).first()
    }

    /// Whether one of the forms of an element is there, for example `onsetAge` of `onset`.
    pub(super) fn has_form_of(&self, element: &str) -> bool {
        let object = self.elements.as_object();
        object.into_iter().flatten().any(|(name, _)| {
            name.strip_prefix(element).is_some_and(|form| form.starts_with(|first: char| first.is_ascii_uppercase()))
        })
    }

    /// Reports an element that the record is made without.
    pub(super) fn leave_out(&mut self, field: &'static str, message: &'static str) {
        self.left_out.push(problem(field, message));
    }

    /// Reports an element without which no record is made.
    pub(super) fn reject(&mut self, field: &'static str, message: &'static str) {
        self.rejected.push(problem(field, message));
    }

    pub(super) fn put(&mut self, field: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.payload.insert(field.to_owned(), value.into());
        }
    }

    /// The text of an element as it is. A value of another type is put too: the field's rules then report it.
    pub(super) fn put_text(&mut self, field: &str, element: &str) {
        let value = match self.elements.get(element) {
            Some(Value::String(_)) => self.text(element).map(|text| json!(text)),
            value => value.filter(|value| !value.is_null()).cloned(),
        };
        self.put(field, value);
    }

    /// The day of an element that is a moment.
    pub(super) fn put_day(&mut self, field: &str, element: &str) {
        let day = self.text(element).map(|moment| json!(element::day(moment)));
        self.put(field, day);
    }

    /// A concept, the first of several.
    pub(super) fn put_concept(&mut self, field: &'static str, element: &str) {
        let concept = self.first(element).cloned();
        self.put_read_concept(field, concept.as_ref());
    }

    pub(super) fn put_read_concept(&mut self, field: &'static str, concept: Option<&Value>) {
        let Some(concept) = concept else { return };
        if !concept.is_object() {
            return self.leave_out(field, WRONG_TYPE);
        }
        let read = element::concept(concept);
        if read.lacks_system {
            self.leave_out(field, "has a code without a system, which cannot be kept");
        }
        self.put(field, read.value);
    }

    /// The code of a concept by `system`, which the field takes as a word. A list may have several; the first that is
    /// one of `words` counts, else the first.
    pub(super) fn put_code(&mut self, field: &'static str, element: &str, system: &str, words: &[&str]) {
        let codes: Vec<_> = element::codes(self.entries(element), system).collect();
        let code = codes.iter().find(|code| words.contains(code)).or(codes.first()).map(|code| json!(code));
        if code.is_none() && self.first(element).is_some() {
            self.leave_out(field, "has no code of the system that FHIR gives it");
        }
        self.put(field, code);
    }

    pub(super) fn put_note(&mut self, element: &str) {
        let note = element::remarks(self.entries(element));
        self.put("note", note);
    }

    /// When something began or ended: a `dateTime`, else the end of a `Period` that means it.
    pub(super) fn put_partial_day(&mut self, field: &'static str, end_of_period: &str) {
        let (moment, period) = (format!("{field}DateTime"), format!("{field}Period"));
        let of_period = self.elements.get(&period).and_then(|period| element::text(period, end_of_period));
        let day = self.text(&moment).or(of_period).map(|moment| json!(element::day(moment)));
        if day.is_none() && self.has_form_of(field) {
            self.leave_out(field, "is given in a form that cannot be kept");
        }
        self.put(field, day);
    }

    /// The patient of the record. Without one there is no record.
    pub(super) fn refer_to_patient(&mut self, reference: Option<&Value>) {
        let read = match reference {
            Some(reference) => reference::read(reference, "Patient", self.context),
            None => return self.reject("refs.subject", "is missing; it names the patient"),
        };
        match read {
            Ok(referred) if referred.kind == Kind::Patient => self.refer("subject", "patient", referred.aggregate_id),
            Ok(_) => self.reject("refs.subject", "refers to a resource that is not a Patient"),
            Err(message) => self.reject("refs.subject", message),
        }
    }

    /// The encounter of the record, if it has one.
    pub(super) fn refer_to_encounter(&mut self, element: &str) {
        let Some(reference) = self.first(element) else { return };
        match reference::read(reference, "Encounter", self.context) {
            Ok(referred) if referred.kind == Kind::Encounter => {
                self.refer("encounter", "encounter", referred.aggregate_id);
            }
            Ok(_) => self.leave_out("refs.encounter", "refers to a resource that is not an Encounter"),
            Err(message) => self.leave_out("refs.encounter", message),
        }
    }

    pub(super) fn refer(&mut self, name: &str, aggregate_type: &str, aggregate_id: String) {
        let (name, aggregate_type) = (name.to_owned(), aggregate_type.to_owned());
        self.references.push(NamedReference { name, aggregate_type, aggregate_id });
    }

    /// The record, with the problems of what was left out of it.
    ///
    /// # Errors
    /// Every problem, when there is no record.
    pub(super) fn finish(mut self, kind: Kind) -> Result<(ClinicalRecord, Vec<Problem>), Vec<Problem>> {
        let id = match self.aggregate_id(kind) {
            Ok(id) => id,
            Err(found) => {
                self.rejected.insert(0, found);
                // The fields are checked all the same.
                "-".to_owned()
            }
        };
        let key = AggregateKey { aggregate_type: kind.aggregate_type().to_owned(), aggregate_id: id };
        let payload = Value::Object(self.payload);
        let validated = match kind {
            // It is kept as a whole or not at all.
            Kind::Other => ClinicalRecord::new(key, payload, self.references)
                .map(|record| (record, Vec::new()))
                .map_err(|found| found.into_iter().map(Problem::from).collect()),
            _ => leaving_out::validate(&key, payload, &self.references),
        };
        match validated {
            Ok((record, found)) if self.rejected.is_empty() => {
                self.left_out.extend(found);
                Ok((record, self.left_out))
            }
            validated => {
                // What was refused here is missing there.
                let is_told = |found: &Problem| self.rejected.iter().any(|told| told.field == found.field);
                let found = validated.err().unwrap_or_default().into_iter().filter(|found| !is_told(found));
                Err(self.rejected.iter().cloned().chain(self.left_out).chain(found.collect::<Vec<_>>()).collect())
            }
        }
    }

    fn aggregate_id(&self, kind: Kind) -> Result<String, Problem> {
        let identifiers = self.elements.get("identifier").cloned().unwrap_or_default();
        let identifiers: Entries<Identifier> = serde_json::from_value(identifiers).unwrap_or_default();
        if identifiers.has_misfits {
            return Err(problem("identifier", WRONG_TYPE));
        }
        let id = self.text("id").map(str::to_owned);
        let (options, today) = (self.context.options, self.context.today);
        identity::aggregate_id(self.resource_type, kind, &identifiers.read, id, options, today)
    }
}
