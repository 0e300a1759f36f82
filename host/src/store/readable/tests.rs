//! Rows as applications write them, read or refused.

use super::*;

fn good() -> Vec<Value> {
    vec![
        7.into(),
        "patient".into(),
        "P-1".into(),
        "create".into(),
        "e".into(),
        1_700_000_000_000.into(),
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

fn with(column: usize, value: Value) -> Unrouted {
    let mut row = good();
    row[column] = value;
    unrouted(row)
}

#[test]
fn a_valid_row_is_accepted() {
    let row = unrouted(good());
    assert_eq!(
        (row.id, row.aggregate_type.as_deref(), row.refused, row.time_unit),
        (ChangeId::new(7), Some("patient"), None, None)
    );
}

#[test]
fn a_column_of_the_wrong_type_is_named_with_its_row() {
    let blob = || Value::Bytes(b"B-9".to_vec());
    let cases = [
        (1, blob(), "aggregate_type is bytes"),
        (1, Value::Null, "aggregate_type is NULL"),
        (2, blob(), "aggregate_id is bytes"),
        (2, Value::I64(5), "aggregate_id is an integer"),
        (2, Value::Null, "aggregate_id is NULL"),
        (3, blob(), "operation is bytes"),
        (3, "upsert".into(), "operation must be"),
        (3, "create ".into(), "operation must be"),
        (4, Value::F64(1.5), "event_id is a number"),
        (5, Value::F64(1_700_000_000_000.25), "created_at is a number with a fraction (REAL)"),
        (5, "2026-01-01 00:00:00".into(), "created_at is text, an integer is expected"),
        (5, Value::Null, "created_at is NULL"),
        (6, "blob".into(), "payload is of type blob"),
        (7, blob(), "refs is bytes"),
        (7, "{}".into(), "refs is not a JSON list"),
        (8, (REFS_BYTES_MAX + 1).into(), "refs has 32769 bytes, at most 32768 are read"),
        (0, Value::I64(0), "id is below 1"),
        (0, Value::I64(-7), "id is below 1"),
    ];
    for (column, value, expected) in cases {
        let refused = with(column, value).refused.expect(expected);
        let message = refused.failure.message;
        assert!(message.contains(expected), "{message}: {expected}");
        assert!(message.starts_with(&format!("outbox row {}: ", refused.change_id)), "{message}");
    }
}

#[test]
fn a_merge_names_its_survivor_and_nothing_else() {
    let refs = |refs: &str| {
        let mut row = good();
        (row[3], row[7]) = ("merge".into(), refs.into());
        unrouted(row)
    };
    let good = refs(r#"[{"name": "survivor", "type": "patient", "id": "P-2"}]"#);
    let named: Vec<_> = good.waits_for.iter().map(|one| one.key().to_string()).collect();
    assert_eq!((named.as_slice(), good.refused), ([AggregateKey::patient("P-2").to_string()].as_slice(), None));
    let cases = [
        (r#"[{"name": "survivor", "type": "patient", "id": "P-1"}]"#, "refs number 1 is the aggregate itself"),
        (r#"[{"name": "survivor", "type": "person", "id": "P-2"}]"#, "refs of a merge must have one element"),
        (r#"[{"name": "subject", "type": "patient", "id": "P-2"}]"#, "refs of a merge must have one element"),
        ("[]", "refs of a merge must have one element"),
    ];
    for (given, expected) in cases {
        let refused = refs(given).refused.expect(expected);
        assert_eq!(refused.failure.kind, FailureKind::Invalid);
        assert!(refused.failure.message.contains(expected), "{}: {expected}", refused.failure.message);
    }
    assert!(with(3, "merge".into()).refused.is_some(), "a merge without a survivor");
}

#[test]
fn invalid_ids_are_refused_with_the_reason_and_valid_ones_pass() {
    let cases = [
        ("", Some("is empty")),
        (" ", Some("is blank")),
        ("\u{3000}", Some("is blank")),
        ("T-1 ", Some("begins or ends with a blank")),
        (" T-1", Some("begins or ends with a blank")),
        ("T-1\u{a0}", Some("begins or ends with a blank")),
        ("new\nline", Some("holds a control character")),
        ("nul\0", Some("holds a control character")),
        ("T 1", None),
        ("\u{c9}", None),
        ("E\u{301}", None),
        ("환자 1", None),
    ];
    for (id, expected) in cases {
        let message = with(2, id.into()).refused.map(|refused| refused.failure.message);
        let expected = expected.map(|rule| format!("outbox row 7: aggregate_id {rule}"));
        assert_eq!(message, expected, "{id:?}");
    }
    assert!(with(2, "x".repeat(255).into()).refused.is_none());
    assert!(with(2, "x".repeat(256).into()).refused.is_some());
}

#[test]
fn an_unreadable_row_gets_a_key_of_its_own() {
    let refused = with(2, Value::Bytes(b"P-1".to_vec())).refused.expect("refused");
    assert_eq!((refused.key.aggregate_type.as_str(), refused.key.aggregate_id.as_str()), ("patient", "?7"));
    let refused = with(1, Value::Null).refused.expect("refused");
    assert_eq!((refused.key.aggregate_type.as_str(), refused.key.aggregate_id.as_str()), ("?", "P-1"));
    assert_eq!(with(2, "T-1 ".into()).refused.expect("refused").key.aggregate_id, "T-1 ");
}

#[test]
fn a_time_in_another_unit_is_reported_and_not_refused() {
    let cases = [
        (1_763_000_000, Some("seconds")),
        (1_763_000_000_000, None),
        (1_763_000_000_000_000, Some("microseconds")),
        (1_763_000_000_000_000_000, Some("nanoseconds")),
        (0, Some("an unknown unit")),
        (-5, Some("an unknown unit")),
        (i64::MAX, Some("an unknown unit")),
    ];
    for (time, expected) in cases {
        let row = with(5, time.into());
        assert_eq!((row.time_unit, row.refused), (expected, None), "{time}");
    }
}

#[test]
fn one_unreadable_row_does_not_affect_the_rest_of_a_batch() {
    let row = |id: i64, payload: Value| {
        let mut row =
            vec![id.into(), "patient".into(), "P-1".into(), "create".into(), "e".into(), payload, 2.into(), 5.into()];
        row.extend([Value::Null, Value::Null, Value::Null, Value::Null]);
        row.extend([Value::Null, Value::Null, Value::Null]);
        row
    };
    let none = HashMap::new();
    let mut large = row(9, Value::Null);
    large[6] = (PAYLOAD_BYTES_MAX + 1).into();
    let refused = delivery(large, &none).expect_err("too large");
    assert_eq!(refused.failure.message, "outbox row 9: payload has 1048577 bytes, at most 1048576 are delivered");
    assert!(delivery(row(7, "{}".into()), &none).is_ok());
    let mut referring = row(7, "{}".into());
    referring[13] = r#"[{"name": "subject", "type": "patient", "id": "P-9"}]"#.into();
    let (read, _) = delivery(referring, &none).expect("read");
    let reference = Reference {
        name: "subject".to_owned(),
        aggregate_type: "patient".to_owned(),
        aggregate_id: "P-9".to_owned(),
        remote_id: None,
    };
    assert_eq!(read.change.references, [reference]);
    let refused = delivery(row(8, Value::Bytes(vec![0xff])), &none).expect_err("bytes");
    assert!(refused.failure.message.starts_with("outbox row 8: payload is bytes"), "{}", refused.failure.message);
}
