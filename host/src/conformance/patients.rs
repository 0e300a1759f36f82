//! The patients that the suite makes up, and the words by which it recognizes them in a message.

use serde_json::{Value, json};

use crate::domain::change::{Change, Link, Operation, Receipt};
use crate::domain::ids::{AggregateKey, ChangeId};

/// Words that occur in payloads and nowhere else: in a message or a log line, they came out of a payload.
pub(super) const WORDS: [&str; 6] =
    ["Quetzalmann", "Wolkenstein", "1903-02-07", "555-0199-7", "Nirgendwostrasse", "nobody.at.all"];

/// Makes changes of aggregates that only this run has.
pub(super) struct Patients {
    run: String,
    next: std::cell::Cell<i64>,
}

impl Patients {
    pub(super) fn new() -> Self {
        let run = uuid::Uuid::now_v7().simple().to_string();
        Self { run: run[run.len() - 8..].to_owned(), next: std::cell::Cell::new(1) }
    }

    /// New patients, as many as asked for.
    pub(super) fn create(&self, count: usize) -> Vec<Change> {
        (0..count).map(|_| self.with(|_| ())).collect()
    }

    /// One new patient whose payload is changed before it is sent.
    pub(super) fn with(&self, alter: impl FnOnce(&mut Value)) -> Change {
        let number = self.next.replace(self.next.get() + 1);
        let id = format!("CT-{}-{number:03}", self.run);
        let mut payload = json!({
            "patient_id": id,
            "family_name": "Quetzalmann",
            "given_name": format!("Wolkenstein{}", char::from(b'a' + u8::try_from(number % 26).unwrap_or(0))),
            "native_family_name": "김",
            "native_given_name": "민준",
            "birth_date": "1903-02-07",
            "gender": "female",
            "phone_mobile": "555-0199-7",
            "street": "Nirgendwostrasse 1",
            "city": "Busan",
            "country": "KR",
            "email": "nobody.at.all@example.org",
        });
        alter(&mut payload);
        Change {
            change_id: ChangeId::new(number),
            event_id: uuid::Uuid::now_v7().to_string(),
            key: AggregateKey::patient(id),
            operation: Operation::Create,
            payload: payload.to_string(),
            references: Vec::new(),
            survivor: None,
            created_at_ms: 1_750_000_000_000,
            attempt: 1,
            link: None,
        }
    }

    /// A newer state of a change that was confirmed.
    pub(super) fn newer(&self, change: &Change, receipt: &Receipt, city: &str) -> Change {
        let number = self.next.replace(self.next.get() + 1);
        let mut payload: Value = serde_json::from_str(&change.payload).unwrap_or_default();
        payload["city"] = json!(city);
        payload["given_name"] = json!(format!("Wolkenstein {city}"));
        Change {
            change_id: ChangeId::new(number),
            event_id: uuid::Uuid::now_v7().to_string(),
            operation: Operation::Update,
            payload: payload.to_string(),
            link: Some(link(receipt)),
            ..change.clone()
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

/// Returns a word of a payload that occurs in a text, if one does.
pub(super) fn personal(text: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| text.contains(word))
}
