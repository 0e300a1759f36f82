//! What operators do to a target: pause it until a time, and resync a list of patients or what has changed.

use std::fs::File;

use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host};
use tests::session::Session;

use super::{assert_says, on_every_store, write};

on_every_store!(
    a_list_of_patients_is_queued_and_lines_of_unknown_ones_are_named,
    only_what_was_changed_since_a_time_is_queued,
    a_pause_has_an_end_and_its_event_names_it,
);

const TARGETS: &str = "\n[targets.openemr]\nadapter = \"a.wasm\"\naggregate_types = [\"patient\", \"encounter\"]\n\
    [targets.openemr.database]\nurl = \"sqlite://openemr.db\"\nallow = { preset = \"openemr\" }\n\
    [targets.labs]\nadapter = \"b.wasm\"\naggregate_types = [\"lab-result\"]\n\
    [targets.labs.http]\nbase_url = \"https://labs.example/\"\n";

/// A host whose store has three patients of its own, and one of another application.
pub(super) struct Hospital {
    pub(super) host: Host,
    pub(super) session: Session,
    /// It is gone with this.
    pub(super) _database: Database,
}

pub(super) async fn hospital(backend: Backend) -> Option<Hospital> {
    let database = Database::fresh(backend).await.expect("database")?;
    let host = Host::new(&Configuration::new(database.url()).more(TARGETS)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    for id in ["P-1", "P-2", "P-3"] {
        let patient = json!({
            "patient_id": id, "family_name": "Kim", "given_name": "A", "birth_date": "1951-12-31", "gender": "female",
        });
        write(&host, "patient.json", patient.to_string().as_bytes());
        let _ = host.run(&["patient", "put", "patient.json"]).expect_success();
    }
    let mut session = Session::open(database.url()).await.expect("session");
    let other = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, created_at, routed_at) \
                 VALUES ('patient', 'D-1', 'create', '{}', 1000000000000, 1000000000000)";
    session.execute(other).await.expect("insert");
    Some(Hospital { host, session, _database: database })
}

fn details(host: &Host, action: &str) -> Vec<Value> {
    let audit = host.run(&["audit", "list", "--action", action, "--json"]).expect_success().json();
    let events = audit["events"].as_array().expect("events").iter();
    events.map(|event| json!([event["item_count"], event["detail"], event["outcome"]])).collect()
}

async fn a_list_of_patients_is_queued_and_lines_of_unknown_ones_are_named(backend: Backend) {
    let Some(Hospital { host, _database, .. }) = hospital(backend).await else { return };
    write(&host, "ids.txt", b"P-1\nP-9\n\nD-1\r\nP-1\n P-3\nKim, Minjun 1951-12-31\n");
    let resync = ["resync", "--target", "openemr", "--page", "2", "--pause-ms", "0", "--patients"];
    let of = |file: &'static str| [&resync[..], &[file]].concat();
    let queued = host.run(&of("ids.txt"));
    let expected = "   [OK] 1 patients queued, up to line 2\n   [OK] 1 patients queued, up to line 6\n\
                    2 patients queued for openemr sync\n   [OK] 1 queued from the outbox, back to change 1\n\
                    1 states of the outbox queued for openemr sync\n\
                    \u{20}  [WARNING] line 2: the store has no patient `P-9`\n\
                    \u{20}  [WARNING] line 7: the store has no patient of that text, which is not shown since it has not \
                    the form of an id\n\
                    the store does not know 2 of the 5 patients; the others are queued; fix: correct these lines, and run \
                    the command with them alone\n";
    assert_eq!((queued.status, queued.stdout.as_str()), (Some(1), expected), "{}", queued.stderr);
    assert_eq!(host.status()["targets"]["openemr"]["pending"], 3);
    let event = |count: u32| json!([count, "a list of patients", "success"]);
    assert_eq!(details(&host, "resync"), [event(1), event(1), event(1)]);

    write(&host, "one.txt", b"P-2");
    let mut piped = host.command(&of("-"));
    let piped = piped.stdin(File::open(host.folder().join("one.txt")).expect("file")).output().expect("run");
    let expected = "   [OK] 1 patients queued, up to line 1\n1 patients queued for openemr sync\n";
    assert_eq!((piped.status.code(), String::from_utf8_lossy(&piped.stdout).as_ref()), (Some(0), expected));

    write(&host, "empty.txt", b"\n\n");
    write(&host, "wrong.txt", b"P-1\n\xff\n");
    assert_says(&host.run(&of("empty.txt")), 2, &["empty.txt lists no id; fix: write one id on each line"]);
    assert_says(&host.run(&of("wrong.txt")), 3, &["wrong.txt:2: the line is not UTF-8"]);
    assert_says(&host.run(&of("missing.txt")), 3, &["cannot read missing.txt"]);
    for other in [&["--types", "patient"][..], &["--patient", "P-1"], &["--after", "P-1"], &["--before", "7"]] {
        let refused = host.run(&[&of("ids.txt")[..], other].concat());
        assert_says(&refused, 2, &["cannot be used with"]);
    }
    let elsewhere = host.run(&["resync", "--target", "labs", "--patients", "ids.txt"]);
    assert_says(&elsewhere, 2, &["target `labs` takes no `patient`"]);
}

async fn only_what_was_changed_since_a_time_is_queued(backend: Backend) {
    let Some(Hospital { host, mut session, _database }) = hospital(backend).await else { return };
    let since = |time: &str| host.run(&["resync", "--target", "openemr", "--where-changed-since", time]);
    session.execute("UPDATE patient_cache SET updated_at = 1 WHERE patient_id <> 'P-2'").await.expect("age");
    let queued = since("1h").expect_success();
    let expected = "   [OK] 1 patients queued, up to P-2\n1 patients queued for openemr sync\n\
                    0 clinical records queued for openemr sync\n\
                    \u{20}  [WARNING] no host sends new changes of `encounter` to openemr yet; fix: start `host run`, then \
                    resync again\n";
    assert_eq!(queued.stdout, expected);
    let all = since("2001-09-09").expect_success();
    assert!(all.stdout.contains("what only the outbox holds is deleted 30 days after its delivery"), "{}", all.stdout);
    assert!(all.stdout.contains("\n1 states of the outbox queued for openemr sync\n"), "{}", all.stdout);
    assert_says(&since("2999-01-01"), 2, &["nothing was changed since 2999-01-01 00:00:00 UTC: by the store's clock"]);
    assert_says(&since("yesterday"), 2, &["expected a day (2026-11-28), a moment"]);
    let both = host.run(&["resync", "--target", "openemr", "--where-changed-since", "1h", "--patient", "P-1"]);
    assert_says(&both, 2, &["cannot be used with"]);
    let recorded = details(&host, "resync");
    assert!(recorded.iter().any(|event| event[1] == "changed since 2001-09-09 00:00:00 UTC"), "{recorded:?}");
}

async fn a_pause_has_an_end_and_its_event_names_it(backend: Backend) {
    let Some(Hospital { host, mut session, _database }) = hospital(backend).await else { return };
    let pause = |more: &[&str]| host.run(&[&["target", "pause", "openemr"][..], more].concat());
    let shown = || host.status()["targets"]["openemr"].clone();
    let paused = pause(&["--for", "8h"]).expect_success().stdout;
    let end = paused.strip_prefix("target openemr is paused ").expect("paused").trim().to_owned();
    assert!(end.starts_with("until 20") && end.ends_with(" UTC"), "{end}");
    assert_eq!(shown()["state"], "paused");
    assert!(shown()["paused_until"].is_i64(), "{}", shown());
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("   openemr: paused until "), "{status}");
    assert_says(&host.run(&["status", "--check", "--target", "openemr"]), 2, &[&format!("openemr is paused {end}")]);
    assert_eq!(details(&host, "target pause"), [json!([null, end, "success"])]);

    session.execute("UPDATE sync_target SET paused_until = 1").await.expect("let it end");
    assert_eq!((&shown()["state"], &shown()["paused_until"]), (&json!("unknown"), &Value::Null));
    assert_eq!(
        pause(&["--until", "2999-01-01"]).expect_success().stdout,
        "target openemr is paused until 2999-01-01 00:00:00 UTC\n"
    );
    assert_eq!(pause(&[]).expect_success().stdout, "target openemr is paused\n");
    assert_eq!((&shown()["state"], &shown()["paused_until"]), (&json!("paused"), &Value::Null));
    assert_eq!(host.run(&["target", "resume", "openemr"]).expect_success().stdout, "target openemr is resumed\n");
    assert_eq!(shown()["state"], "unknown");

    let past = "cannot pause openemr until 2020-01-01 00:00:00 UTC: by the store's clock it is 20";
    assert_says(&pause(&["--until", "2020-01-01"]), 2, &[past, "already; fix: give a later time"]);
    assert_says(&pause(&["--until", "8h"]), 2, &["expected a day (2026-11-28) or a moment", "with --for"]);
    assert_says(&pause(&["--for", "0s"]), 2, &["expected a duration from 1s to 366d"]);
    assert_says(&pause(&["--for", "8h", "--until", "2999-01-01"]), 2, &["cannot be used with"]);
    assert_eq!(shown()["state"], "unknown", "none of them paused it");
}

#[tokio::test]
async fn a_misspelt_word_is_answered_with_the_one_that_was_meant() {
    let Some(Hospital { host, _database, .. }) = hospital(Backend::Sqlite).await else { return };
    for (line, expected) in [
        ("retry --target openem", "did you mean `openemr`?"),
        ("failed list --target openem", "did you mean `openemr`?"),
        ("failed dismiss --all --target openem --reason x", "did you mean `openemr`?"),
        ("waiting --target openem", "did you mean `openemr`?"),
        ("trace --target openem", "did you mean `openemr`?"),
        ("why P-1 --target openem", "did you mean `openemr`?"),
        ("verify --target openem", "did you mean `openemr`?"),
        ("conflicts --target openem", "did you mean `openemr`?"),
        ("conflicts resolve --target openem --patient P-1 --keep local", "did you mean `openemr`?"),
        ("resync --target openem", "did you mean `openemr`?"),
        ("status --check --target openem", "did you mean `openemr`?"),
        ("alerts ack --target openem", "did you mean `openemr`?"),
        ("target pause openem", "did you mean `openemr`?"),
        ("target resume openem", "did you mean `openemr`?"),
        ("target probe openem", "did you mean `openemr`?"),
        ("target disable openem", "no target `openem`"),
        ("plugin history --target openem", "did you mean `openemr`?"),
        ("plugin rollback --target openem", "did you mean `openemr`?"),
        ("plugin reload --target openem", "did you mean `openemr`?"),
        ("plugin dry-run --patient P-1 --target openem", "did you mean `openemr`?"),
        ("plugin replay new.wasm --last 7d --target openem", "did you mean `openemr`?"),
        ("plugin accept --target openem", "did you mean `openemr`?"),
        ("retry --kind invlid", "did you mean `invalid`?"),
        ("failed list --kind invlid", "did you mean `invalid`?"),
        ("trace --kind invlid", "did you mean `invalid`?"),
        ("alerts ack --kind targetdown", "did you mean `target-down`?"),
        ("trace --status faild", "did you mean `failed`?"),
        ("conflicts resolve --target openemr --patient P-1 --keep lokal", "did you mean `local`?"),
        ("audit list --action retri", "did you mean `retry`?"),
        ("why --type encountr --id E-1 --target openemr", "is `encounter` meant?"),
        ("verify --target openemr --types encountr", "is `encounter` meant?"),
        ("resync --target openemr --types encountr", "is `encounter` meant?"),
        ("resync --target openemr --type encountr --id E-1", "is `encounter` meant?"),
        ("plugin dry-run --type encountr --id E-1", "is `encounter` meant?"),
        ("plugin dry-run --type encountr --id E-1 --target openemr", "is `encounter` meant?"),
        ("status --type encountr --id E-1", "is `encounter` meant?"),
        ("trace --type encountr --id E-1", "is `encounter` meant?"),
        ("retry --type encountr --id E-1", "is `encounter` meant?"),
        ("failed list --type encountr --id E-1", "is `encounter` meant?"),
        ("conflicts --type encountr --id E-1", "is `encounter` meant?"),
        ("conflicts resolve --target openemr --type encountr --id E-1 --keep local", "is `encounter` meant?"),
    ] {
        let output = host.run(&line.split(' ').collect::<Vec<_>>());
        assert!(matches!(output.status, Some(1..=3)), "{line}: {output:?}");
        // `status --check` answers on standard output, where monitoring reads it.
        let answer = format!("{}{}", output.stdout, output.stderr);
        assert!(answer.contains(expected), "{line}: {answer}");
    }
}
