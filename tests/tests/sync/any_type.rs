//! Nothing is for patients only: every command that is about one aggregate, over a type of an application's own.

use std::time::Duration;

use tests::host::{Configuration, Host, HostSignal, RunningHost, quoted};
use tests::session::Session;

use crate::support::{QUICK, adapter};

const TABLE: &str = "CREATE TABLE lab_result (result_id VARCHAR(64) NOT NULL PRIMARY KEY, code VARCHAR(255) NOT NULL, \
                     value VARCHAR(255) NOT NULL)";

const LIMIT: Duration = Duration::from_secs(60);

/// A host that delivers laboratory results to an SQLite file.
async fn laboratory(more: &str) -> (Host, Session) {
    let configuration = Configuration::new("sqlite://.host/host.db").more(QUICK).more(&format!(
        "\n[targets.labs]\nadapter = {}\naggregate_types = [\"lab-result\"]\n[targets.labs.database]\n\
         url = \"sqlite://labs.db\"\nallow = {{ read = [\"*\"], insert = [\"*\"], update = [\"*\"], delete = [\"*\"] }}\n{more}",
        quoted(&adapter("testing-laboratory").to_string_lossy())
    ));
    let host = Host::new(&configuration).expect("host");
    let mut labs = open(&host, "labs.db").await;
    labs.execute(TABLE).await.expect("a table");
    let _ = host.run(&["migrate"]).expect_success();
    (host, labs)
}

async fn open(host: &Host, file: &str) -> Session {
    Session::open(&format!("sqlite://{}", host.folder().join(file).display())).await.expect("session")
}

/// What an application writes.
async fn write(host: &Host, id: &str, operation: &str, payload: &str) {
    let mut store = open(host, ".host/host.db").await;
    let row = format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
         VALUES ('lab-result', '{id}', '{operation}', '{payload}')"
    );
    store.execute(&row).await.expect("insert");
    store.close().await.expect("close");
}

async fn results(labs: &mut Session) -> Vec<String> {
    let rows = labs.rows("SELECT result_id || ' ' || value FROM lab_result ORDER BY result_id").await.expect("rows");
    rows.into_iter().map(|row| row[0].clone().expect("text")).collect()
}

fn good(value: &str) -> String {
    format!(r#"{{"code": "718-7", "value": "{value}"}}"#)
}

#[tokio::test]
async fn every_command_accepts_an_aggregate_of_any_type() {
    let (host, mut labs) = laboratory("").await;
    write(&host, "L-1", "create", &good("13")).await;
    write(&host, "L-2", "create", r#"{"code": "718-7"}"#).await;
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stdout.contains("labs: 1 delivered, 1 failed"), "{}", run.stdout);
    assert_eq!(results(&mut labs).await, ["L-1 13"]);

    let of = |id: &'static str| vec!["--type", "lab-result", "--id", id];
    let listed = host.run(&[["failed", "list", "--json"].to_vec(), of("L-2")].concat()).expect_success().json();
    assert_eq!(listed["failed"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        (&listed["failed"][0]["aggregate_type"], &listed["failed"][0]["aggregate_id"]),
        (&"lab-result".into(), &"L-2".into())
    );
    let none = host.run(&[["failed", "list"].to_vec(), of("L-1")].concat()).expect_success();
    assert_eq!(none.stdout, "no failed deliveries\n");
    for command in [
        vec!["failed", "list"],
        vec!["retry"],
        vec!["conflicts"],
        vec!["status"],
        vec!["plugin", "dry-run"],
        vec!["resync", "--target", "labs"],
    ] {
        let unknown = host.run(&[command.clone(), of("L-9")].concat());
        assert_eq!(unknown.status, Some(1), "{command:?}: {}", unknown.stderr);
        assert!(
            unknown.stderr.contains("error: the store has no lab-result `L-9`\n"),
            "{command:?}: {}",
            unknown.stderr
        );
        for (half, missing) in [(["--type", "lab-result"], "--id <ID>"), (["--id", "L-1"], "--type <TYPE>")] {
            let refused = host.run(&[command.clone(), half.to_vec()].concat());
            assert_eq!(refused.status, Some(2), "{command:?}");
            assert!(refused.stderr.contains(missing), "{command:?}: {}", refused.stderr);
        }
        let both = host.run(&[command.clone(), vec!["--patient", "P-1"], of("L-1")].concat());
        assert_eq!(both.status, Some(2), "{command:?}");
    }

    let retried = host.run(&[["retry"].to_vec(), of("L-2")].concat()).expect_success();
    assert_eq!(retried.stdout, "1 failed deliveries are pending again\n");
    assert_eq!(host.run(&[["conflicts"].to_vec(), of("L-1")].concat()).expect_success().stdout, "no conflicts\n");
    let status = host.run(&[["status", "--json"].to_vec(), of("L-1")].concat()).expect_success().json();
    let recent: Vec<_> = status["recent"].as_array().expect("a list").iter().map(|one| &one["aggregate_id"]).collect();
    assert_eq!(recent, ["L-1"], "{status}");

    let tried = host.run(&[["plugin", "dry-run", "--json"].to_vec(), of("L-1")].concat()).expect_success().json();
    assert_eq!(
        (&tried["aggregate_type"], &tried["aggregate_id"], &tried["patient_id"]),
        (&"lab-result".into(), &"L-1".into(), &serde_json::Value::Null)
    );
    assert_eq!(tried["targets"][0]["state"]["source"], "last", "{tried}");
    assert_eq!(tried["targets"][0]["applied"]["remote_id"], "L-1", "{tried}");
    let nobody = host.run(&["plugin", "dry-run", "--patient", "P-1"]);
    assert_eq!(nobody.status, Some(2));
    assert!(nobody.stderr.contains("error: no enabled target takes `patient`"), "{}", nobody.stderr);

    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let dismiss = [vec!["failed", "dismiss", "--reason", "no value"], of("L-2")].concat();
    assert!(host.run(&dismiss).expect_success().stdout.starts_with("dismissed 1 failed deliveries;"));
    // The option by its earlier name.
    let resolve = [
        "conflicts",
        "resolve",
        "--target",
        "labs",
        "--keep",
        "local",
        "--aggregate-type",
        "lab-result",
        "--id",
        "L-1",
    ];
    let resolved = host.run(&resolve);
    assert!(resolved.stderr.contains("lab-result L-1 has no conflict at target `labs`"), "{}", resolved.stderr);
}

#[tokio::test]
async fn a_restored_target_gets_the_states_of_other_applications_again() {
    let (host, mut labs) = laboratory("").await;
    let early = host.run(&["resync", "--target", "labs"]).expect_success();
    assert!(
        early.stdout.contains("[WARNING] no host sends new changes of `lab-result` to labs yet"),
        "{}",
        early.stdout
    );
    for (id, value) in [("L-1", "13"), ("L-2", "14"), ("L-1", "15")] {
        write(&host, id, "update", &good(value)).await;
    }
    write(&host, "L-3", "delete", "{}").await;
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(results(&mut labs).await, ["L-1 15", "L-2 14"]);
    labs.execute("DELETE FROM lab_result").await.expect("what was restored has none");
    let one = host.run(&["resync", "--target", "labs", "--type", "lab-result", "--id", "L-2"]).expect_success();
    assert!(one.stdout.contains("1 states of the outbox queued for labs sync"), "{}", one.stdout);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(results(&mut labs).await, ["L-2 14"]);
    let all = host.run(&["resync", "--target", "labs"]).expect_success();
    assert!(all.stdout.contains("3 states of the outbox queued for labs sync"), "{}", all.stdout);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(results(&mut labs).await, ["L-1 15", "L-2 14"]);
    let refused = host.run(&["resync", "--target", "labs", "--types", "patient"]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.stderr.contains("target `labs` takes no `patient`"), "{}", refused.stderr);
}

#[tokio::test]
async fn an_undeliverable_head_can_be_dismissed() {
    let (host, mut labs) = laboratory("[aggregates.lab-result]\norder = \"fifo\"\n").await;
    for payload in [r#"{"code": "718-7"}"#.to_owned(), good("14"), good("15")] {
        write(&host, "L-1", "update", &payload).await;
    }
    write(&host, "L-2", "update", &good("16")).await;
    let left = host.run(&["run", "--until-idle"]);
    assert_eq!(left.status, Some(1), "{}{}", left.stdout, left.stderr);
    for words in [
        "2 still open",
        "labs: 2 of lab-result L-1 wait behind change 1, which failed",
        "fix: `host failed list`, then `host retry` or `host failed dismiss --change NUMBER --reason TEXT`",
    ] {
        assert!(left.stdout.contains(words), "{words}: {}", left.stdout);
    }
    assert_eq!(results(&mut labs).await, ["L-2 16"], "another key is not held up");
    let dismiss = ["failed", "dismiss", "--change", "1", "--reason", "it has no value", "--by", "kim"];
    let _ = host.run(&dismiss).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(results(&mut labs).await, ["L-1 15", "L-2 16"]);
    let kept = host.run(&["failed", "list", "--dismissed", "--json"]).expect_success().json();
    let entry = &kept["dismissed"][0];
    assert_eq!((&entry["reason"], &entry["dismissed_by"]), (&"it has no value".into(), &"kim".into()), "{kept}");

    let refused = host.run(&["resync", "--target", "labs", "--types", "lab-result"]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.stderr.contains("cannot resync `lab-result`: it has order = \"fifo\""), "{}", refused.stderr);
    let left_out = host.run(&["resync", "--target", "labs"]).expect_success();
    assert!(left_out.stdout.contains("[INFO] `lab-result` is left out"), "{}", left_out.stdout);
}

#[tokio::test]
async fn check_and_run_report_unsupported_types_of_an_adapter_alike() {
    let (host, _labs) = laboratory("").await;
    let file = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&file).expect("configuration");
    std::fs::write(&file, text.replace("aggregate_types = [\"lab-result\"]\n", "")).expect("write");
    let reported = "adapter laboratory does not take aggregates of type patient; fix: another adapter, or aggregate_types = \
                [\"lab-result\"] in [targets.labs]";
    let check = host.run(&["check"]);
    assert!(check.stdout.contains(&format!("[PROBLEM] target labs: laboratory 0.1.0: {reported}")), "{}", check.stdout);
    assert_ne!(check.status, Some(0));
    write(&host, "L-1", "create", &good("13")).await;
    let mut store = open(&host, ".host/host.db").await;
    store
        .execute(
            "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
             VALUES ('patient', 'D-1', 'create', '{}')",
        )
        .await
        .expect("insert");
    store.close().await.expect("close");
    let run = host.run(&["run", "--until-idle"]);
    assert_eq!(run.status, Some(1));
    assert!(run.stdout.contains(&format!("labs: {reported}")), "{}", run.stdout);
    let dry_run = host.run(&["plugin", "dry-run", "--patient", "D-1"]);
    assert!(dry_run.stdout.contains(reported), "{}{}", dry_run.stdout, dry_run.stderr);
}

/// Six results that cannot be delivered, and a running host that has tried.
async fn six_failed(host: &Host) -> RunningHost {
    for number in 1..=6 {
        write(host, &format!("L-{number}"), "create", r#"{"code": "718-7"}"#).await;
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("the host runs", LIMIT, || host.status()["hosts_running"] == 1).expect("wait");
    running
}

fn failed(host: &Host) -> serde_json::Value {
    host.status()["totals"]["failed"].clone()
}

#[tokio::test]
async fn a_ramp_stops_while_the_cause_lasts_and_retries_everything_once_it_is_gone() {
    let (host, mut labs) = laboratory("").await;
    let mut running = six_failed(&host).await;

    let stopped = host.run(&["retry", "--failed", "--ramp"]);
    assert_eq!(stopped.status, Some(1), "{}", stopped.stderr);
    let expected = "   step of 1: 0 ended, 1 failed again\n\
                    stopped: most of this step failed again; fix: see `host failed list`\n\
                    1 failed deliveries were retried\n";
    assert_eq!(stopped.stdout, expected);
    assert_eq!(failed(&host), 6);

    let mut store = open(&host, ".host/host.db").await;
    store.execute(&format!("UPDATE sync_outbox SET payload = '{}'", good("13"))).await.expect("repair");
    store.close().await.expect("close");
    let counted = host.run(&["retry", "--failed", "--limit", "4", "--dry-run"]).expect_success();
    assert_eq!(counted.stdout, "4 failed deliveries would be retried\n");
    let first = host.run(&["retry", "--failed", "--limit", "1"]).expect_success();
    let expected = "more are failed; to go on, run the same command with --from 1\n1 failed deliveries were retried\n";
    assert_eq!(first.stdout, expected);
    running.wait_until("the first is delivered", LIMIT, || failed(&host) == 5).expect("wait");

    let ramped = host.run(&["retry", "--failed", "--ramp"]).expect_success();
    let expected = "   step of 1: 1 ended\n   step of 2: 2 ended\n   step of 2: 2 ended\n\
                    5 failed deliveries were retried\n";
    assert_eq!(ramped.stdout, expected);
    assert_eq!(results(&mut labs).await.len(), 6);
    let audit = host.run(&["audit", "list", "--action", "retry", "--json"]).expect_success().json();
    let events = audit["events"].as_array().expect("events");
    let shown: Vec<_> = events.iter().map(|event| format!("{} {}", event["item_count"], event["detail"])).collect();
    let ramp = |count: u32| format!("{count} \"ramp\"");
    let expected = [ramp(2), ramp(2), ramp(1), "1 \"limit 1\"".to_owned()];
    assert_eq!(shown[..4], expected, "one event for each step, newest first: {audit}");
    let traced = host.run(&["trace", "--type", "lab-result", "--id", "L-2", "--json"]).expect_success().json();
    let events = traced["events"].as_array().expect("events");
    let of_many: Vec<_> =
        events.iter().filter(|event| event["event"] == "command" && event["of_many"] == true).collect();
    let details: Vec<_> = of_many.iter().map(|event| event["detail"].as_str()).collect();
    assert_eq!(details, [Some("ramp"), Some("limit 1"), Some("ramp")], "each command once, no dry run: {traced:#}");
}

#[tokio::test]
async fn an_interrupted_retry_reports_how_far_it_came_and_goes_on_from_there() {
    let (host, _labs) = laboratory("").await;
    // Nothing is delivered meanwhile.
    let running = six_failed(&host).await;
    running.signal(HostSignal::Terminate).expect("signal");
    let _ = running.wait(LIMIT).expect("the host ends");
    let mut retry = host.spawn(&["retry", "--failed", "--rate", "1"]).expect("spawn");
    retry.wait_until("two are retried", LIMIT, || failed(&host) == 4).expect("wait");
    retry.signal(HostSignal::Interrupt).expect("signal");
    let ended = retry.wait(LIMIT).expect("end");
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let left = failed(&host).as_u64().expect("a number");
    let retried = 6 - left;
    let expected = format!(
        "stopped after {retried}; to go on, run the same command with --from {retried}\n\
         {retried} failed deliveries were retried\n"
    );
    assert_eq!(ended.stdout, expected);
    let rest = host.run(&["retry", "--failed", "--from", &(retried + 1).to_string()]).expect_success();
    assert_eq!(rest.stdout, format!("{left} failed deliveries were retried\n"));
    assert_eq!(failed(&host), 0);
}
