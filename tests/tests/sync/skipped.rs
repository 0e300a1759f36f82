//! An adapter that has no place for a change skips it: the run ends, the reason is shown, and it can be tried again.

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};

use crate::support::{QUICK, adapter, patient, put};

/// The probe, which skips those whose id ends so.
fn configuration(url: &str, skips: &str) -> Configuration {
    Configuration::new("sqlite://.host/host.db").more(&format!(
        "[targets.probe]\nadapter = {}\n[targets.probe.database]\nurl = {}\n\
         [targets.probe.settings]\nbehaviour = \"skip\"\nquiet_check = true\nargument = \"{skips}\"\n{QUICK}",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(url)
    ))
}

#[tokio::test]
async fn a_skipped_change_is_finished_and_shown_and_can_be_retried() {
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let host = Host::new(&configuration(target.url(), "-2")).expect("host");
    put(&host, &patient("S-1"));
    put(&host, &patient("S-2"));
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stdout.contains("1 delivered, 0 failed, 1 skipped"), "{}", run.stdout);
    let status = host.status();
    assert_eq!((&status["totals"]["done"], &status["totals"]["skipped"]), (&1.into(), &1.into()), "{status}");
    assert_eq!((&status["totals"]["failed"], &status["totals"]["pending"]), (&0.into(), &0.into()));

    let listed = host.run(&["failed", "list", "--skipped"]).expect_success();
    assert!(listed.stdout.contains("patient S-2 [probe]: change 2 was skipped: no place for it"), "{}", listed.stdout);
    let json = host.run(&["failed", "list", "--skipped", "--json"]).expect_success().json();
    assert_eq!(
        (&json["skipped"][0]["message"], &json["skipped"][1]),
        (&"no place for it".into(), &serde_json::Value::Null)
    );
    let tried = host.run(&["plugin", "dry-run", "--patient", "S-2"]).expect_success();
    assert!(tried.stdout.contains("[ANSWER] skipped: no place for it"), "{}", tried.stdout);

    host.configure(&configuration(target.url(), "-9")).expect("configure");
    let counted = host.run(&["retry", "--skipped", "--dry-run"]).expect_success();
    assert!(counted.stdout.contains("1 skipped deliveries would be retried"), "{}", counted.stdout);
    let retried = host.run(&["retry", "--skipped"]).expect_success();
    assert!(retried.stdout.contains("1 skipped deliveries are pending again"), "{}", retried.stdout);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let totals = &host.status()["totals"];
    assert_eq!((&totals["done"], &totals["skipped"]), (&2.into(), &0.into()));
}
