//! Into the tables of OpenEMR, on every version that counts.

use crate::support::{host_with_openemr, openemr_database, patient, put, rows, seed};

async fn seed_run_update_run(version: &str) {
    let Some(openemr) = openemr_database(version).await else { return };
    let has_uuid = !version.starts_with('5');
    let host = host_with_openemr(openemr.url());
    seed(&host);
    let _ = host.run(&["run", "--until-idle"]).expect_success();

    let charts =
        rows(openemr.url(), "SELECT CAST(pid AS CHAR), pubpid, lname, sex FROM patient_data ORDER BY pubpid").await;
    let patients: Vec<_> = charts.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(patients, ["P-2025-001", "P-2025-002", "P-2025-003", "P-2025-004", "P-2025-005"]);
    // OpenEMR 5 has no option for an unknown sex.
    let options: &[&str] = if has_uuid { &["Male", "Female", "UNK"] } else { &["Male", "Female", ""] };
    assert!(charts.iter().all(|row| options.contains(&row[3].as_str())), "option ids, never titles");
    let status = host.status();
    assert_eq!(status["totals"]["done"], 5);
    for chart in &charts {
        let stored = host.run(&["patient", "show", &chart[1]]).expect_success();
        assert_eq!(stored.json()["openemr_patient_id"].to_string(), chart[0], "the id is written back");
    }

    // One patient changes; its chart changes in place, and nothing else does.
    let mut changed = host.run(&["patient", "show", "P-2025-001"]).expect_success().json();
    let fields = changed.as_object_mut().expect("object");
    fields.remove("openemr_patient_id");
    fields.remove("fhir_patient_id");
    fields.insert("city".to_owned(), "Daejeon".into());
    put(&host, &changed);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let after =
        rows(openemr.url(), "SELECT CAST(pid AS CHAR), pubpid, lname, sex FROM patient_data ORDER BY pubpid").await;
    assert_eq!(after, charts);
    let city = rows(openemr.url(), "SELECT city FROM patient_data WHERE pubpid = 'P-2025-001'").await;
    assert_eq!(city, [["Daejeon"]]);
    if has_uuid {
        let orphans = "SELECT CAST(COUNT(*) AS CHAR) FROM uuid_registry r LEFT JOIN patient_data p ON p.uuid = r.uuid \
                       WHERE p.pid IS NULL";
        assert_eq!(rows(openemr.url(), orphans).await, [["0"]]);
        let registered = "SELECT CAST(COUNT(*) AS CHAR) FROM uuid_registry WHERE table_name = 'patient_data'";
        assert_eq!(rows(openemr.url(), registered).await, [["5"]]);
    }
}

#[tokio::test]
async fn openemr_5_0_2() {
    seed_run_update_run("5.0.2").await;
}

#[tokio::test]
async fn openemr_6_0_0() {
    seed_run_update_run("6.0.0").await;
}

#[tokio::test]
async fn openemr_7_0_2() {
    seed_run_update_run("7.0.2").await;
}

#[tokio::test]
async fn openemr_8_2_0() {
    seed_run_update_run("8.2.0").await;
}

/// docs/adapters/openemr.md, `dupscore`: OpenEMR's "not calculated" for a new chart, and what OpenEMR has calculated is
/// left alone.
async fn dupscore_is_openemrs_own(version: &str) {
    let Some(openemr) = openemr_database(version).await else { return };
    let scores = "SELECT CAST(dupscore AS CHAR) FROM patient_data ORDER BY pubpid";
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("A-1"));
    put(&host, &patient("A-2"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(rows(openemr.url(), scores).await, [["-9"], ["-9"]], "{version}");
    openemr.execute("UPDATE patient_data SET dupscore = 17 WHERE pubpid = 'A-1'").await.expect("OpenEMR calculates");
    for id in ["A-1", "A-2"] {
        let mut moved = patient(id);
        moved["city"] = "Daejeon".into();
        moved["family_name"] = "Chae".into();
        put(&host, &moved);
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(rows(openemr.url(), scores).await, [["17"], ["-9"]], "{version}: an update leaves it");
    let written = "SELECT DISTINCT CONCAT(lname, ' ', city) FROM patient_data";
    assert_eq!(rows(openemr.url(), written).await, [["Chae Daejeon"]], "{version}: they were updated");
}

#[tokio::test]
async fn openemr_7_0_2_keeps_its_dupscore() {
    dupscore_is_openemrs_own("7.0.2").await;
}

#[tokio::test]
async fn openemr_8_2_0_keeps_its_dupscore() {
    dupscore_is_openemrs_own("8.2.0").await;
}

#[tokio::test]
async fn a_patient_that_openemr_refuses_fails_alone() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    // A narrower column than this version's own, as a hospital may have it.
    openemr.execute("ALTER TABLE patient_data MODIFY lname VARCHAR(5) NOT NULL DEFAULT ''").await.expect("alter");
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("A-1"));
    let mut long = patient("A-2");
    long["family_name"] = "Hwangbo".into();
    put(&host, &long);
    put(&host, &patient("A-3"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!((&status["totals"]["done"], &status["totals"]["failed"]), (&2.into(), &1.into()));
    let failed = status["recent"].as_array().expect("recent").iter().find(|sync| sync["status"] == "failed");
    let failed = failed.expect("one failed");
    assert_eq!(failed["patient_id"], "A-2");
    assert!(failed["error"].as_str().expect("error").contains("lname"), "{failed}");
    assert!(!failed["error"].as_str().expect("error").contains("Hwangbo"), "no value in a message");
}

/// What OpenEMR's own form could not save is not written, and is said in the log as it is set up by default.
async fn within_what_the_form_takes(version: &str, pubpid_max: Option<usize>) {
    let Some(openemr) = openemr_database(version).await else { return };
    let host = host_with_openemr(openemr.url());
    let _ = host.run(&["migrate"]).expect_success();
    let checked = host.run(&["check"]).expect_success().stdout;
    assert!(checked.contains("`ss` 11 (longer: left empty)"), "{checked}");
    assert_eq!(checked.contains("`pubpid` 15 (longer: the patient is refused)"), pubpid_max.is_some(), "{checked}");
    let mut korean = patient("A-1");
    korean["national_id"] = "900505-2234567".into();
    korean["state"] = "Busan".into();
    korean["ethnicity"] = "Not Hispanic or Latino".into();
    korean["race"] = "2028-9".into();
    put(&host, &korean);
    put(&host, &patient("A-0000-0000-0000-0002"));
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stderr.contains("left `ss` empty"), "{}", run.stderr);
    assert!(!run.stderr.contains("2234567"), "no value in the log");
    let chart = "SELECT ss, state, ethnicity, race FROM patient_data WHERE pubpid = 'A-1'";
    assert_eq!(rows(openemr.url(), chart).await, [["", "Busan", "not_hisp_or_latin", "Asian"]]);
    let status = host.status();
    assert_eq!(status["totals"]["failed"], u32::from(pubpid_max.is_some()));
}

#[tokio::test]
async fn openemr_5_0_2_users_can_save_what_was_delivered() {
    within_what_the_form_takes("5.0.2", Some(15)).await;
}

#[tokio::test]
async fn openemr_6_0_0_users_can_save_what_was_delivered() {
    within_what_the_form_takes("6.0.0", Some(15)).await;
}

#[tokio::test]
async fn openemr_7_0_2_users_can_save_what_was_delivered() {
    within_what_the_form_takes("7.0.2", None).await;
}

#[tokio::test]
async fn openemr_8_2_0_users_can_save_what_was_delivered() {
    within_what_the_form_takes("8.2.0", None).await;
}

#[tokio::test]
async fn a_missing_grant_fails_the_check_and_no_patient() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let configuration = tests::host::Configuration::new("sqlite://.host/host.db")
        .openemr(&crate::support::adapter("openemr"), openemr.url())
        .more(crate::support::QUICK);
    let narrow = r#"allow = { read = ["patient_data", "uuid_registry", "version", "list_options", "layout_options"], insert = ["patient_data"], update = ["patient_data"] }"#;
    let text = configuration.text().replace(r#"allow = { preset = "openemr" }"#, narrow);
    assert!(text.contains(narrow), "{text}");
    let host = tests::host::Host::new(&configuration).expect("host");
    std::fs::write(host.folder().join("host.toml"), text).expect("configure");
    put(&host, &patient("A-1"));
    let checked = host.run(&["check"]);
    assert_ne!(checked.status, Some(0));
    assert!(checked.stdout.contains("insert into uuid_registry (needed for every delivery)"), "{}", checked.stdout);
    assert!(checked.stdout.contains(r#"insert = ["uuid_registry"]"#), "{}", checked.stdout);
}

#[tokio::test]
async fn a_chart_missing_in_openemr_is_a_conflict() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("A-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    openemr.execute("DELETE FROM patient_data").await.expect("delete");
    let mut changed = patient("A-1");
    changed["city"] = "Seoul".into();
    put(&host, &changed);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!(status["totals"]["failed"], 1);
    assert_eq!(status["recent"][0]["error_kind"], "conflict");
    assert_eq!(rows(openemr.url(), "SELECT pubpid FROM patient_data").await.len(), 0, "not created again");
}
