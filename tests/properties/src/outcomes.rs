//! What an adapter answers, from its outcomes to what is stored of each delivery: nothing is believed that cannot be
//! stored or shown, each delivery gets exactly one end, and attempts are spent by the failure's kind.
//!
//! Input: one line for each change, its fields divided by `|`, `\n` in a field standing for a line break:
//! - `OPERATION ATTEMPTS [linked]`, then `applied`, remote id, version, fingerprint; or a failure's kind, message,
//!   milliseconds to wait;
//! - `extra`: an outcome that no change asked for;
//! - `report`, summary, findings; `adapter`, name, version, types.

use host::domain::change::{
    AggregateSupport, BatchOutcome, Change, Descriptor, Failure, FailureKind, Finding, FindingLevel, Link, Operation,
    Outcome, Receipt, Report,
};
use host::domain::delivery::{Delivery, RetryPolicy, Settlement, Status};
use host::domain::ids::{AggregateKey, ChangeId, IdColumn};
use host::plugin::fuzzing::{descriptor, failure, outcomes, report};
use host::sync::fuzzing::settlements;

use crate::said::{assert_plain, assert_unmarked};

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut deliveries = Vec::new();
    let mut given = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let fields: Vec<String> = line.split('|').map(|field| field.replace("\\n", "\n")).collect();
        match fields[0].as_str() {
            "report" => check_report(&fields[1..]),
            "adapter" => check_descriptor(&fields[1..]),
            "extra" => given.push(Outcome::Failed(Failure::new(FailureKind::Transient, "extra"))),
            change => {
                deliveries.push(delivery(number, change));
                given.push(outcome(&fields[1..]));
            }
        }
    }
    let batch = BatchOutcome { outcomes: given.clone(), learned: None };
    match outcomes(batch, deliveries.len()) {
        Err(error) => {
            assert_plain(&error.to_string(), 500);
            assert_unmarked(&error.to_string());
            let is_storable = |outcome: &Outcome| match outcome {
                Outcome::Applied(receipt) => is_plain_receipt(receipt),
                Outcome::Failed(_) | Outcome::Skipped(_) => true,
            };
            assert!(given.len() != deliveries.len() || !given.iter().all(is_storable), "refused without need: {error}");
        }
        Ok(BatchOutcome { outcomes: believed, .. }) => {
            assert_believed(&given, &believed);
            for column in [None, Some(IdColumn::OpenemrPatientId), Some(IdColumn::FhirPatientId)] {
                check_settlements(&deliveries, &believed, column);
            }
        }
    }
}

fn assert_believed(given: &[Outcome], believed: &[Outcome]) {
    assert_eq!(given.len(), believed.len());
    for pair in given.iter().zip(believed) {
        match pair {
            (Outcome::Applied(one), Outcome::Applied(other)) => {
                assert_eq!(one, other);
                assert!(is_plain_receipt(one), "{one:?}");
            }
            (Outcome::Failed(one), Outcome::Failed(other)) => {
                assert_eq!(one.kind, other.kind);
                assert_plain(&other.message, 4_100);
                assert!(other.retry_after_ms.is_none_or(|wait| wait <= 86_400_000));
                assert_eq!(failure(other), *other, "cleaning it again changes it");
            }
            (Outcome::Skipped(_), Outcome::Skipped(reason)) => assert_plain(reason, 4_100),
            (one, other) => panic!("{one:?} became {other:?}"),
        }
    }
}

/// What each text of a receipt may be, said in another way.
fn is_plain_receipt(receipt: &Receipt) -> bool {
    let fits = |text: &String| text.chars().count() <= 255 && !text.chars().any(host::domain::words::is_unprintable);
    let optional = [&receipt.remote_version, &receipt.fingerprint];
    fits(&receipt.remote_id) && optional.into_iter().flatten().all(|text| fits(text) && !text.is_empty())
}

fn check_settlements(deliveries: &[Delivery], believed: &[Outcome], column: Option<IdColumn>) {
    let policy = RetryPolicy::default();
    let takes_id = |id: &str| column.is_none_or(|column| column.takes(id));
    let settled = settlements(deliveries, believed.to_vec(), &policy, takes_id, || 1.0);
    assert_eq!(settled.len(), deliveries.len());
    for ((delivery, outcome), settlement) in deliveries.iter().zip(believed).zip(&settled) {
        assert_eq!(settlement.change_id, delivery.change.change_id);
        let spent = settlement.attempts.checked_sub(delivery.attempts).expect("attempts never decrease");
        assert!(spent <= 1 && settlement.pause_ms <= policy.cap_ms);
        assert_one_end(delivery, settlement, spent);
        if let Outcome::Failed(failure) = outcome {
            let is_kept = settlement.failure.as_ref() == Some(failure);
            assert!(is_kept && settlement.status != Status::Done, "{failure:?} became {settlement:?}");
        }
        if let Some(receipt) = &settlement.receipt {
            assert!(takes_id(&receipt.remote_id) || receipt.remote_id.is_empty(), "{settlement:?}");
            assert!(!receipt.remote_id.is_empty() || delivery.change.link.is_some(), "{settlement:?}");
        }
        if settlement.status == Status::Done && delivery.change.operation != Operation::Delete {
            assert!(settlement.receipt.as_ref().is_some_and(|receipt| !receipt.remote_id.is_empty()));
        }
    }
}

fn assert_one_end(delivery: &Delivery, settlement: &Settlement, spent: u32) {
    let Settlement { status, failure, receipt, attempts, .. } = settlement;
    let Some(failure) = failure else {
        assert_eq!(*status, Status::Done, "no failure, and not done");
        return;
    };
    assert!(receipt.is_none(), "a failure with a receipt");
    let kind = failure.kind;
    assert!(kind.spends_attempt() || (*status == Status::Pending && spent == 0), "{settlement:?}");
    assert!(!kind.is_permanent() || *status == Status::Failed, "{settlement:?}");
    let last = delivery.attempts.saturating_add(1) >= RetryPolicy::default().attempts_max;
    let retried = kind.spends_attempt() && !kind.is_permanent();
    assert!(!retried || (*status == Status::Failed) == last, "{attempts} attempts: {settlement:?}");
}

fn check_report(fields: &[String]) {
    let finding = |message: &String| Finding { level: FindingLevel::Ok, message: message.clone() };
    let [summary, findings @ ..] = fields else { return };
    let state = summary.clone().into_bytes();
    let given = Report { summary: summary.clone(), findings: findings.iter().map(finding).collect(), state };
    if let Ok(shown) = report(given.clone()) {
        assert_eq!((shown.findings.len(), &shown.state), (given.findings.len(), &given.state));
        for text in shown.findings.iter().map(|finding| &finding.message).chain([&shown.summary]) {
            assert!(text.is_empty() || text.chars().count() <= 1_001);
            assert!(!text.chars().any(host::domain::words::is_unprintable), "{text:?}");
        }
    } else {
        assert!(given.findings.len() > 200 || given.state.len() > 1 << 20);
    }
}

fn check_descriptor(fields: &[String]) {
    let [name, version, types @ ..] = fields else { return };
    let support = |aggregate_type: &String| AggregateSupport {
        aggregate_type: aggregate_type.clone(),
        operations: Vec::new(),
        observes: false,
        schema: None,
    };
    let aggregate_types = types.iter().map(support).collect();
    let given = Descriptor { name: name.clone(), version: version.clone(), aggregate_types };
    match descriptor(given.clone()) {
        Ok(shown) => {
            assert_eq!(shown, given);
            for text in [shown.name.as_str(), shown.version.as_str()].into_iter().chain(shown.type_names()) {
                assert!((1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
            }
        }
        Err(error) => assert_plain(&error.to_string(), 300),
    }
}

fn delivery(number: i64, words: &str) -> Delivery {
    let mut words = words.split(' ');
    let operation = words.next().and_then(Operation::from_word).unwrap_or(Operation::Update);
    let attempts = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let link = Link { remote_id: "7".to_owned(), remote_version: None, fingerprint: None };
    let change = Change {
        change_id: ChangeId::new(number),
        event_id: String::new(),
        key: AggregateKey::patient(format!("P-{number}")),
        operation,
        payload: "{}".to_owned(),
        references: Vec::new(),
        survivor: None,
        created_at_ms: 0,
        attempt: 1,
        link: words.next().map(|_| link),
    };
    Delivery { change, attempts, survivor_id: None, was_merged: false }
}

fn outcome(fields: &[String]) -> Outcome {
    let field = |place: usize| fields.get(place).cloned();
    let word = field(0).unwrap_or_default();
    match FailureKind::from_word(&word) {
        Some(kind) => Outcome::Failed(Failure {
            kind,
            message: field(1).unwrap_or_default(),
            retry_after_ms: field(2).and_then(|text| text.parse().ok()),
        }),
        None => Outcome::Applied(Receipt {
            remote_id: field(1).unwrap_or_default(),
            remote_version: field(2),
            fingerprint: field(3),
        }),
    }
}
