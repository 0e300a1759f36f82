//! `host verify` over the binary: a target that holds what was delivered, and one that others changed.

use std::time::{Duration, Instant};

use tests::host::{Host, HostSignal, Output};
use tests::session::Session;

use crate::support::{host_with_openemr, openemr_database, patient, put, rows, seed, store_url};

fn verify(host: &Host, more: &[&str]) -> Output {
    host.run(&[&["verify", "--target", "openemr"], more].concat())
}

fn deliver(host: &Host) {
    let _ = host.run(&["run", "--until-idle"]).expect_success();
}

#[tokio::test]
async fn an_edited_or_deleted_record_is_found_named_and_repaired() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    seed(&host);
    deliver(&host);
    let whole = verify(&host, &[]).expect_success().stdout;
    assert!(
        whole.starts_with("openemr equals the store for 5 of 5 records of patient, verified through change 5 at 20")
    );
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("openemr equals the store for 5 of 5 records"), "{status}");

    openemr.execute("UPDATE patient_data SET city = 'Elsewhere' WHERE pubpid = 'P-2025-002'").await.expect("edit");
    openemr.execute("DELETE FROM patient_data WHERE pubpid = 'P-2025-004'").await.expect("delete");
    let found = verify(&host, &[]);
    assert_eq!(found.status, Some(1), "{}{}", found.stdout, found.stderr);
    assert!(
        found.stdout.contains("for 3 of 5 records") && found.stdout.contains("; 1 edited, 1 gone"),
        "{}",
        found.stdout
    );
    assert!(found.stdout.contains("   edited: P-2025-002\n"), "{}", found.stdout);
    assert!(found.stdout.contains("   gone: P-2025-004\n"), "{}", found.stdout);
    assert!(!found.stdout.contains("Elsewhere"), "a value is never shown");
    let json = host.status();
    assert_eq!(json["targets"]["openemr"]["verified"]["equal"], 3);
    assert_eq!(json["targets"]["openemr"]["verified"]["counts"]["edited"], 1);

    let repaired = verify(&host, &["--repair", "--json"]).json();
    assert_eq!(repaired["repair"]["queued"], 2, "{repaired}");
    assert_eq!(repaired["findings"][1]["state"], "gone");
    deliver(&host);
    let after = verify(&host, &["--types", "patient", "--rate", "1000"]);
    assert_eq!(after.status, Some(0), "{}{}", after.stdout, after.stderr);
    assert!(after.stdout.contains("for 5 of 5 records"), "{}", after.stdout);
    let cities = rows(openemr.url(), "SELECT CAST(COUNT(*) AS CHAR) FROM patient_data WHERE city = 'Elsewhere'").await;
    assert_eq!(cities, [["0"]]);
}

#[tokio::test]
async fn a_target_that_cannot_be_verified_is_named() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("V-1"));
    deliver(&host);
    let unknown = verify(&host, &["--types", "invoice"]);
    assert_eq!(unknown.status, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("invoice"), "{}", unknown.stderr);
    let elsewhere = host.run(&["verify", "--target", "openem"]);
    assert_eq!(elsewhere.status, Some(2));
    assert!(elsewhere.stderr.contains("no target `openem`"), "{}", elsewhere.stderr);
    openemr.execute("RENAME TABLE patient_data TO patients").await.expect("rename");
    let broken = verify(&host, &[]);
    assert_ne!(broken.status, Some(0));
    assert!(broken.stderr.contains("cannot verify target `openemr`"), "{}", broken.stderr);
}

#[tokio::test]
async fn a_running_host_verifies_on_schedule_and_leaves_an_operators_verification_alone() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    seed(&host);
    deliver(&host);
    let file = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    std::fs::write(&file, format!("{text}\n[targets.openemr.verify]\nevery = \"1s\"\n")).expect("configure");
    let counts = || host.status()["targets"]["openemr"]["verified"]["counts"].clone();

    let mut daemons = [host.spawn(&["run"]).expect("start"), host.spawn(&["run"]).expect("start")];
    daemons[0].wait_until("it verifies", Duration::from_secs(30), || counts()["checked"] == 5).expect("verified");
    openemr.execute("UPDATE patient_data SET city = 'Elsewhere' WHERE pubpid = 'P-2025-002'").await.expect("edit");
    daemons[0].wait_until("the edit is found", Duration::from_secs(30), || counts()["edited"] == 1).expect("found");
    for daemon in &daemons {
        daemon.signal(HostSignal::Terminate).expect("signal");
    }
    let [one, other] = daemons.map(|daemon| daemon.wait(Duration::from_secs(30)).expect("it ends").stderr);
    let logs = format!("{one}{other}");
    assert!(logs.contains("target differs from the store"), "{logs}");
    assert!(!logs.contains("Elsewhere") && !logs.contains("cannot verify"), "{logs}");

    // A page a second, while the daemon looks each second.
    let daemon = host.spawn(&["run"]).expect("start");
    let slow = verify(&host, &["--rate", "1"]);
    assert_eq!(slow.status, Some(1), "{}{}", slow.stdout, slow.stderr);
    assert!(slow.stdout.contains("for 4 of 5 records"), "{}", slow.stdout);
    daemon.signal(HostSignal::Terminate).expect("signal");
    drop(daemon.wait(Duration::from_secs(30)).expect("it ends"));
}

#[tokio::test]
async fn what_openemr_has_of_ours_and_the_store_does_not_know_is_named_and_never_repaired() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    seed(&host);
    deliver(&host);
    // Registered at OpenEMR itself.
    openemr
        .execute(
            "INSERT INTO patient_data (uuid, pid, pubpid, fname) VALUES (UNHEX(MD5('theirs')), 900, '900', 'theirs')",
        )
        .await
        .expect("insert");
    // The store is one from before this patient was delivered.
    let store = store_url(&host);
    for table in ["sync_link", "sync_delivery", "sync_outbox"] {
        let forget = format!("DELETE FROM {table} WHERE aggregate_id = 'P-2025-003'");
        tests::database::execute(&store, &forget).await.expect("forget");
    }
    let pid = rows(openemr.url(), "SELECT CAST(pid AS CHAR) FROM patient_data WHERE pubpid = 'P-2025-003'").await;
    let pid = &pid[0][0];
    let found = verify(&host, &["--repair"]);
    assert_eq!(found.status, Some(0), "{}{}", found.stdout, found.stderr);
    let sentence = "openemr equals the store for 4 of 4 records of patient";
    let unknown = "; 1 at the target that the store does not know\n";
    assert!(found.stdout.contains(sentence) && found.stdout.contains(unknown), "{}", found.stdout);
    assert!(found.stdout.contains(&format!("   not in the store: patient P-2025-003 as {pid}\n")), "{}", found.stdout);
    assert!(found.stdout.contains("0 queued for repair"), "{}", found.stdout);
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("; 1 at the target that the store does not know"), "{status}");
    let json = verify(&host, &["--json"]).json();
    assert_eq!(json["verification"]["not_in_store"]["records"], 1, "{json}");
    assert_eq!(json["not_in_store"][0]["remote_id"], pid.as_str());
    assert_eq!(json["not_in_store"][0]["aggregate_id"], "P-2025-003");
}

#[tokio::test]
async fn a_repair_of_a_target_that_holds_edits_makes_conflicts_and_writes_nothing() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    let file = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    let holding = text.replacen("[targets.openemr]", "[targets.openemr]\non_remote_edit = \"hold\"", 1);
    std::fs::write(&file, holding).expect("configure");
    seed(&host);
    deliver(&host);
    openemr.execute("UPDATE patient_data SET city = 'Elsewhere' WHERE pubpid = 'P-2025-002'").await.expect("edit");
    openemr.execute("DELETE FROM patient_data WHERE pubpid = 'P-2025-004'").await.expect("delete");
    let repaired = verify(&host, &["--repair", "--json"]).json();
    assert_eq!(repaired["repair"]["queued"], 2, "{repaired}");
    deliver(&host);
    let conflicts = host.run(&["conflicts", "--json"]).expect_success().json();
    let held: Vec<_> = conflicts["conflicts"].as_array().expect("a list").iter().collect();
    let mut ids: Vec<_> = held.iter().map(|one| one["aggregate_id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["P-2025-002", "P-2025-004"], "{conflicts}");
    let charts = "SELECT pubpid, city FROM patient_data WHERE pubpid IN ('P-2025-002', 'P-2025-004')";
    assert_eq!(rows(openemr.url(), charts).await, [["P-2025-002", "Elsewhere"]], "nothing is written");
    let still = verify(&host, &[]);
    assert_eq!(still.status, Some(1));
    assert!(still.stdout.contains("; 1 edited, 1 gone"), "{}", still.stdout);

    for id in ids {
        let resolve = ["conflicts", "resolve", "--target", "openemr", "--patient", id, "--keep", "local"];
        let _ = host.run(&resolve).expect_success();
    }
    deliver(&host);
    assert!(verify(&host, &[]).expect_success().stdout.contains("for 5 of 5 records"));
}

#[tokio::test]
async fn a_killed_verification_goes_on_behind_what_it_verified() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    seed(&host);
    deliver(&host);
    let move_to = |city: &str| format!("UPDATE patient_data SET city = '{city}' WHERE pubpid = 'P-2025-001'");
    let was = rows(openemr.url(), "SELECT city FROM patient_data WHERE pubpid = 'P-2025-001'").await;
    openemr.execute(&move_to("Elsewhere")).await.expect("edit");

    let mut killed = host.spawn(&["verify", "--target", "openemr", "--rate", "1"]).expect("spawn");
    let deadline = Instant::now() + Duration::from_secs(60);
    while checked(&host).await < 2 {
        assert!(killed.is_running().expect("the command") && Instant::now() < deadline, "{}", killed.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed.kill();
    let before = checked(&host).await;
    assert!(before < 5, "{before} were verified when it was killed");
    // What was found stays found: the next command does not ask for it again.
    openemr.execute(&move_to(&was[0][0])).await.expect("edit back");
    let resumed = verify(&host, &[]);
    assert_eq!(resumed.status, Some(1), "{}{}", resumed.stdout, resumed.stderr);
    let begins = format!("going on behind {before} verified records\nopenemr equals the store for 4 of 5 records");
    assert!(resumed.stdout.starts_with(&begins), "{}", resumed.stdout);
    assert!(resumed.stdout.contains("   edited: P-2025-001\n"), "{}", resumed.stdout);
    let anew = verify(&host, &[]).expect_success().stdout;
    assert!(anew.starts_with("openemr equals the store for 5 of 5 records"), "{anew}");
}

/// The records that a verification under way has checked.
async fn checked(host: &Host) -> u64 {
    let mut store = Session::open(&store_url(host)).await.expect("connect");
    let sql = "SELECT CAST(checked AS TEXT) FROM sync_verification WHERE run = 'current'";
    let found = store.rows(sql).await.expect("read");
    found.first().and_then(|row| row[0].as_ref()).map_or(0, |count| count.parse().expect("a number"))
}

#[tokio::test]
async fn a_verification_keeps_to_its_rate() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_with_openemr(openemr.url());
    seed(&host);
    deliver(&host);
    // By the store's own times, in which the compilation of the adapter is not.
    let took_ms = |rate: &str| {
        let verified = verify(&host, &["--rate", rate, "--json"]).expect_success().json();
        let at = |name: &str| verified["verification"][name].as_i64().expect("a time");
        assert_eq!(verified["verification"]["equal"], 5, "{verified}");
        at("finished_at") - at("started_at")
    };
    // Five records in pages of two, each of a second, and then the list of them.
    let (slow, quick) = (took_ms("2"), took_ms("100000"));
    assert!(slow >= 1_500, "5 records at 2 a second took {slow} ms");
    assert!(quick < slow, "{quick} ms without a limit, {slow} ms with one");
}
