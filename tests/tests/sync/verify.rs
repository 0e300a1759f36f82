//! `host verify` over the binary: a target that holds what was delivered, and one that others changed.

use tests::host::{Host, Output};

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
