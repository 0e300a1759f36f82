//! The suite's invented changes: of patients, or of another type, from an example.
//!
//! A check requests its changes here and knows no payload. An example may lack the placeholders that a check needs; the
//! check asks first (`lacks_text`, `lacks_variety`). What the changes refer to is delivered by `referred.rs`.

use std::cell::{Cell, RefCell};

use super::examples::{Example, Filling};
use super::{clinical, patients};
use crate::domain::change::{Change, Link, Operation, Receipt, Reference};
use crate::domain::ids::{AggregateKey, ChangeId};
use crate::domain::references::NamedReference;

/// Payloads that are not one JSON object, each with the rule that it breaks.
const NOT_AN_OBJECT: [(&str, &str); 7] = [
    ("nothing at all", ""),
    ("a text that is not JSON", "not JSON"),
    ("half an object", "{\"a\": "),
    ("a list", "[]"),
    ("a JSON string", "\"a\""),
    ("a number", "17"),
    ("null", "null"),
];

/// Where the payloads come from.
#[derive(Clone)]
pub(super) enum Source {
    Patients,
    Example(Example),
}

/// Makes changes of aggregates that only this run has.
pub(super) struct Subjects {
    source: Source,
    run: String,
    next: Cell<i64>,
    /// What every change refers to.
    references: RefCell<Vec<Reference>>,
}

impl Subjects {
    pub(super) fn new(source: Source) -> Self {
        let run = uuid::Uuid::now_v7().simple().to_string();
        let run = run[run.len() - 8..].to_owned();
        Self { source, run, next: Cell::new(1), references: RefCell::default() }
    }

    /// What each change should refer to; of the ids only the types count.
    pub(super) fn wanted_references(&self) -> &[NamedReference] {
        match &self.source {
            Source::Patients => &[],
            Source::Example(example) => example.references(),
        }
    }

    /// Has all later changes refer to these.
    pub(super) fn refer_to(&self, references: Vec<Reference>) {
        *self.references.borrow_mut() = references;
    }

    pub(super) fn is_patients(&self) -> bool {
        matches!(self.source, Source::Patients)
    }

    pub(super) fn aggregate_type(&self) -> String {
        self.key("").aggregate_type
    }

    /// One of them in a sentence: `patient`, or the type in backticks.
    pub(super) fn one(&self) -> String {
        match &self.source {
            Source::Patients => "patient".to_owned(),
            Source::Example(example) => format!("`{}`", example.aggregate_type()),
        }
    }

    /// So many of them in a sentence.
    pub(super) fn many(&self, count: usize) -> String {
        match &self.source {
            Source::Patients => format!("{count} patients"),
            Source::Example(example) => format!("{count} of `{}`", example.aggregate_type()),
        }
    }

    /// Why no text can be put into a payload.
    pub(super) fn lacks_text(&self) -> Option<&'static str> {
        match &self.source {
            Source::Example(example) if !example.has_text() => {
                Some("the example has no ${text}, so that no text can be put into it")
            }
            Source::Patients | Source::Example(_) => None,
        }
    }

    /// Why two states of one aggregate cannot differ.
    pub(super) fn lacks_variety(&self) -> Option<&'static str> {
        match &self.source {
            Source::Example(example) if !example.varies() => {
                Some("the example has neither ${text} nor ${number}, so that every state is the same")
            }
            Source::Patients | Source::Example(_) => None,
        }
    }

    /// New ones, as many as asked for.
    pub(super) fn create(&self, count: usize) -> Vec<Change> {
        (0..count).map(|_| self.made(Source::payload)).collect()
    }

    /// A new one with these two texts in it.
    pub(super) fn with_texts(&self, first: &str, second: &str) -> Change {
        self.made(|source, id, number| match source {
            Source::Patients => {
                let mut payload = patients::payload(id, number);
                payload["family_name"] = first.into();
                payload["given_name"] = second.into();
                payload.to_string()
            }
            Source::Example(example) => example.fill(&Filling { id, text: &format!("{first} {second}"), number }),
        })
    }

    /// A new one whose payload breaks the contract, in a batch of others.
    pub(super) fn bad(&self) -> Change {
        self.made(|source, _, _| match source {
            Source::Patients => r#"{"patient_id": 7, "unheard_of": true}"#.to_owned(),
            Source::Example(_) => "not JSON".to_owned(),
        })
    }

    /// Payloads that an adapter must refuse permanently, each with the rule that it breaks.
    pub(super) fn broken(&self) -> Vec<(String, Change)> {
        match &self.source {
            Source::Patients => patients::broken()
                .into_iter()
                .map(|(rule, field, value)| {
                    let change = self.made(|_, id, number| {
                        let mut payload = patients::payload(id, number);
                        payload[field] = value;
                        payload.to_string()
                    });
                    (format!("{rule} ({field})"), change)
                })
                .collect(),
            // The contract of a type of the adapter's own is no more than that a payload is one JSON object.
            Source::Example(example) => {
                let valid = self.made(Source::payload);
                NOT_AN_OBJECT
                    .into_iter()
                    .map(|(rule, payload)| (rule.to_owned(), payload.to_owned()))
                    .chain(clinical::broken(example.aggregate_type(), &valid))
                    .map(|(rule, payload)| (rule, self.made(|_, _, _| payload)))
                    .collect()
            }
        }
    }

    /// The merge of a delivered aggregate into another one, who stays.
    pub(super) fn merge(&self, merged: &Change, link: Option<Link>, survivor: (&Change, &Receipt)) -> Change {
        let (change, receipt) = survivor;
        Change {
            change_id: ChangeId::new(self.number()),
            event_id: uuid::Uuid::now_v7().to_string(),
            operation: Operation::Merge,
            payload: "{}".to_owned(),
            references: Vec::new(),
            survivor: Some(Reference {
                name: "survivor".to_owned(),
                aggregate_type: change.key.aggregate_type.clone(),
                aggregate_id: change.key.aggregate_id.clone(),
                remote_id: Some(receipt.remote_id.clone()),
            }),
            link,
            ..merged.clone()
        }
    }

    /// The same state again, as a newer change.
    pub(super) fn same_state(&self, change: &Change, receipt: &Receipt) -> Change {
        Change {
            change_id: ChangeId::new(self.number()),
            event_id: uuid::Uuid::now_v7().to_string(),
            operation: Operation::Update,
            link: Some(link(receipt)),
            ..change.clone()
        }
    }

    /// A newer state of a change that was confirmed.
    pub(super) fn newer(&self, change: &Change, receipt: &Receipt, word: &str) -> Change {
        let number = self.number();
        let payload = match &self.source {
            Source::Patients => patients::newer(&change.payload, word).to_string(),
            Source::Example(example) => {
                let text = format!("{} {word} {number}", patients::WORDS[1]);
                example.fill(&Filling { id: &change.key.aggregate_id, text: &text, number })
            }
        };
        Change {
            change_id: ChangeId::new(number),
            event_id: uuid::Uuid::now_v7().to_string(),
            operation: Operation::Update,
            payload,
            link: Some(link(receipt)),
            ..change.clone()
        }
    }

    fn key(&self, id: &str) -> AggregateKey {
        match &self.source {
            Source::Patients => AggregateKey::patient(id),
            Source::Example(example) => {
                AggregateKey { aggregate_type: example.aggregate_type().to_owned(), aggregate_id: id.to_owned() }
            }
        }
    }

    fn number(&self) -> i64 {
        self.next.replace(self.next.get() + 1)
    }

    fn made(&self, payload: impl FnOnce(&Source, &str, i64) -> String) -> Change {
        let number = self.number();
        let id = format!("CT-{}-{number:03}", self.run);
        let payload = payload(&self.source, &id, number);
        Change {
            change_id: ChangeId::new(number),
            event_id: uuid::Uuid::now_v7().to_string(),
            key: self.key(&id),
            operation: Operation::Create,
            payload,
            references: self.references.borrow().clone(),
            survivor: None,
            created_at_ms: 1_750_000_000_000,
            attempt: 1,
            link: None,
        }
    }
}

impl Source {
    fn payload(&self, id: &str, number: i64) -> String {
        match self {
            Self::Patients => patients::payload(id, number).to_string(),
            Self::Example(example) => {
                example.fill(&Filling { id, text: &format!("{} {number}", patients::WORDS[0]), number })
            }
        }
    }
}

/// The link that the host would make of a receipt.
pub(super) fn link(receipt: &Receipt) -> Link {
    Link {
        remote_id: receipt.remote_id.clone(),
        remote_version: receipt.remote_version.clone(),
        fingerprint: receipt.fingerprint.clone(),
    }
}

/// An id that the target gave to no record, in the form of one that it gave: `Organization/7` has two parts.
pub(super) fn missing_id(remote_id: &str) -> String {
    const MISSING: &str = "999999999";
    remote_id.rsplit_once('/').map_or_else(|| MISSING.to_owned(), |(before, _)| format!("{before}/{MISSING}"))
}
