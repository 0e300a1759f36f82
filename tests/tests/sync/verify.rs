//! `host verify` over the binary: a target that holds what was delivered, and one that others changed.

use std::time::Duration;

use tests::host::{Host, HostSignal, Output};

use crate::support::{host_with_openemr, openemr_database, patient, put, rows, seed};

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
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
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
