//! What the interface 0.2.0 added, at the boundary: references, merges, skipping, learning, observing. And 0.1.0,
//! which is spoken as well.

use host::domain::change::{Change, FailureKind, Link, Observation, Operation, OwnPage, OwnQuery, Reference, Subject};
use host::plugin::{CallError, DatabaseCall, Given, SqlAccess, SqlGrants, World};

use super::*;

fn reference(name: &str, id: &str, remote_id: Option<&str>) -> Reference {
    Reference {
        name: name.to_owned(),
        aggregate_type: "patient".to_owned(),
        aggregate_id: id.to_owned(),
        remote_id: remote_id.map(str::to_owned),
    }
}

fn subjects(count: usize) -> Vec<Subject> {
    (1..=count)
        .map(|number| Subject {
            aggregate_type: "patient".to_owned(),
            aggregate_id: format!("P-{number}"),
            link: Link { remote_id: number.to_string(), remote_version: None, fingerprint: Some(format!("f{number}")) },
        })
        .collect()
}

async fn told(bench: &Bench, change: Change) -> String {
    let transaction = bench.target.begin().await;
    let context = behaving("references", "");
    let call = bench.adapter.apply_database(&context, &bench.access, transaction, given(b""), &[change]).await;
    ids(&call.result.unwrap().unwrap().outcomes)[0].to_owned()
}

#[tokio::test]
async fn references_and_survivor_reach_the_adapter_unchanged() {
    let bench = Bench::new().await;
    let plain = changes(1).remove(0);
    assert_eq!(told(&bench, plain.clone()).await, "Operation::Create ");
    let references = vec![reference("subject", "P-7", Some("77")), reference("encounter", "E-1", None)];
    let with = Change { operation: Operation::Update, references, ..plain.clone() };
    assert_eq!(told(&bench, with).await, "Operation::Update subject=patient/P-7@77 encounter=patient/E-1@none");
    let survivor = Some(reference("survivor", "P-8", Some("88")));
    let merge = Change { operation: Operation::Merge, survivor, payload: "{}".to_owned(), ..plain.clone() };
    assert_eq!(told(&bench, merge).await, "Operation::Merge survivor=patient/P-8@88");
    // A survivor that the target does not know, and one that is nobody, are the adapter's to judge, and end nothing.
    let nobody = Change { operation: Operation::Merge, survivor: Some(reference("", "", Some(""))), ..plain.clone() };
    assert_eq!(told(&bench, nobody).await, "Operation::Merge =patient/@");
    let none = Change { operation: Operation::Merge, survivor: None, ..plain };
    assert_eq!(told(&bench, none).await, "Operation::Merge ");
}

#[tokio::test]
async fn learned_state_is_returned_and_passed_to_the_next_call() {
    let bench = Bench::new().await;
    let call = bench.apply("learn", "no Bundles").await.result.unwrap().unwrap();
    assert_eq!((ids(&call.outcomes)[0], call.learned.as_deref()), ("P-1-", Some(&b"no Bundles"[..])));
    let transaction = bench.target.begin().await;
    let (context, known) = (behaving("learn", "no Bundles"), Given { learned: b"no Bundles", ..given(b"") });
    let call = bench.adapter.apply_database(&context, &bench.access, transaction, known, &changes(1)).await;
    let batch = call.result.unwrap().unwrap();
    assert_eq!((ids(&batch.outcomes)[0], batch.learned), ("P-1-no Bundles", None));
}

#[tokio::test]
async fn hostile_learned_state_over_its_limit_is_refused() {
    let bench = Bench::new().await;
    assert_eq!(bench.apply("learn", "65536").await.result.unwrap().unwrap().learned.unwrap().len(), 65_536);
    let error = bench.fault("learn", "65537").await;
    assert!(matches!(&error, CallError::InvalidResponse(reason) if reason.contains("learned 65537 bytes")), "{error}");
}

#[tokio::test]
async fn a_skipped_change_is_returned_with_its_reason() {
    let bench = Bench::new().await;
    let batch = bench.apply("skip", "2").await.result.unwrap().unwrap();
    assert_eq!(ids(&batch.outcomes), ["P-1", "no place for it", "P-3"]);
}

async fn observe(bench: &Bench, behaviour: &str, argument: &str) -> DatabaseCall<Vec<Observation>> {
    let access =
        SqlAccess::new(Dialect::Sqlite, SqlGrants { read: SqlGrants::everything().read, ..SqlGrants::default() });
    let (transaction, context) = (bench.target.begin().await, behaving(behaviour, argument));
    bench.adapter.observe_database(&context, &access, transaction, given(b""), &subjects(3)).await
}

#[tokio::test]
async fn an_adapter_observes_records_one_by_one_in_order() {
    let bench = Bench::new().await;
    let found = observe(&bench, "echo", "").await.result.unwrap().unwrap();
    let present =
        |fingerprint: &str| Observation::Present { fingerprint: fingerprint.to_owned(), remote_version: None };
    assert_eq!(found, [present("f1"), present("f2"), present("f3")]);
}

#[tokio::test]
async fn hostile_observations_are_counted_and_validated() {
    let bench = Bench::new().await;
    for (behaviour, argument, words) in [
        ("observe-too-few", "", "2 observations for 3 subjects"),
        ("observe-million", "", "1000000 observations for 3 subjects"),
        ("observe-odd", "", "the fingerprint is empty"),
        ("observe-odd", "many", "17 ids of several records, at most 16"),
        ("panic", "", "the adapter crashed"),
    ] {
        let call = observe(&bench, behaviour, argument).await;
        let error = call.result.expect_err(behaviour).to_string();
        assert!(error.contains(words) || error.contains("host_call_bytes_max"), "{behaviour}: {error}");
        call.transaction.expect("the transaction comes back").rollback().await.unwrap();
    }
}

#[tokio::test]
async fn observing_cannot_write_to_a_database() {
    let bench = Bench::new().await;
    let call = observe(&bench, "statement", "INSERT INTO note (id, body) VALUES ('x', 'y')").await;
    assert_eq!(call.result.unwrap().unwrap_err().kind, FailureKind::Misconfigured, "not granted");
    assert_eq!(call.usage.statements, 0, "it never reached the database");
}

async fn list(bench: &Bench, behaviour: &str, argument: &str, query: &OwnQuery<'_>) -> DatabaseCall<OwnPage> {
    let access =
        SqlAccess::new(Dialect::Sqlite, SqlGrants { read: SqlGrants::everything().read, ..SqlGrants::default() });
    let (transaction, context) = (bench.target.begin().await, behaving(behaviour, argument));
    bench.adapter.list_own_database(&context, &access, transaction, given(b""), query).await
}

#[tokio::test]
async fn an_adapter_lists_records_page_by_page_and_refuses_what_it_cannot_list() {
    let bench = Bench::new().await;
    assert!(bench.adapter.lists());
    let mut query = OwnQuery { aggregate_type: "patient", after: None, limit: 3 };
    let first = list(&bench, "echo", "", &query).await.result.unwrap().unwrap();
    assert_eq!((first.records.len(), first.next.as_deref()), (3, Some("3")));
    query.after = first.next.as_deref();
    let second = list(&bench, "echo", "", &query).await.result.unwrap().unwrap();
    let ids: Vec<_> = second.records.iter().map(|one| format!("{} {}", one.aggregate_id, one.remote_id)).collect();
    assert_eq!((ids, second.next), (vec!["P-4 4".to_owned(), "P-5 5".to_owned()], None));
    let query = OwnQuery { aggregate_type: "encounter", ..query };
    let refused = list(&bench, "echo", "", &query).await.result.unwrap().unwrap_err();
    assert_eq!((refused.kind, refused.message.as_str()), (FailureKind::Unsupported, "only patients"));
}

#[tokio::test]
async fn hostile_lists_are_counted_and_validated() {
    let bench = Bench::new().await;
    let query = OwnQuery { aggregate_type: "patient", after: Some("7"), limit: 3 };
    for (behaviour, argument, words) in [
        ("list-million", "", "1000000 records, at most 3 were asked for"),
        ("list-odd", "id", "the aggregate-id of record 0 holds a control character"),
        ("list-odd", "remote-id", "the remote-id of record 0 is longer than 255 characters"),
        ("list-odd", "place", "the place of the next page is longer than 4096 characters"),
        ("list-odd", "", "the list would never end"),
        ("panic", "", "the adapter crashed"),
    ] {
        let call = list(&bench, behaviour, argument, &query).await;
        let error = call.result.expect_err(behaviour).to_string();
        // A million records may meet a limit of the call before they are counted.
        let is_limit = ["host_call_bytes_max", "memory_mib"].iter().any(|limit| error.contains(limit));
        assert!(error.contains(words) || is_limit, "{behaviour} {argument}: {error}");
        call.transaction.expect("the transaction comes back").rollback().await.unwrap();
    }
    let call = list(&bench, "statement", "INSERT INTO note (id, body) VALUES ('x', 'y')", &query).await;
    assert_eq!(call.result.unwrap().unwrap_err().kind, FailureKind::Misconfigured, "not granted");
    assert_eq!(call.usage.statements, 0, "it never reached the database");
}

#[tokio::test]
async fn an_adapter_of_interface_0_1_reports_its_capabilities() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/adapters-0.1.0");
    for (name, world) in [("openemr", World::Database), ("fhir", World::Http)] {
        let adapter = runtime().load(&file.join(format!("{name}.wasm")), world).await.unwrap();
        assert_eq!((adapter.descriptor().name.as_str(), adapter.inspection().interface_version()), (name, "0.1.0"));
        let support = adapter.descriptor().support("patient").unwrap();
        let expected = [Operation::Create, Operation::Update, Operation::Delete];
        assert!(support.operations == expected && !support.observes && support.schema.is_none(), "{support:?}");
    }
    let adapter = runtime().load(&file.join("openemr.wasm"), World::Database).await.unwrap();
    let target = Target::new().await;
    let access = SqlAccess::new(Dialect::Sqlite, SqlGrants::everything());
    let context = behaving("", "");
    let call = adapter.observe_database(&context, &access, target.begin().await, given(b""), &subjects(2)).await;
    let query = OwnQuery { aggregate_type: "patient", after: None, limit: 3 };
    assert!(!adapter.lists());
    call.transaction.expect("the transaction comes back").rollback().await.unwrap();
    let transaction = target.begin().await;
    let listed = adapter.list_own_database(&context, &access, transaction, given(b""), &query).await;
    assert_eq!(listed.result.unwrap().unwrap_err().kind, FailureKind::Unsupported);
    let found = call.result.unwrap().unwrap();
    assert!(found.iter().all(|found| matches!(found, Observation::Unknown(reason) if reason.contains("0.1.0"))));
}
