//! What an operator does with patients and clinical records, with the store on every database: seed, verify and repair,
//! see what waits, name an aggregate of any type, and merge a patient to whom records refer.

use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::{Backend, workspace};
use tests::host::Host;

use crate::support::{append, host_with_records, openemr_database, patient, put, rows};

macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod on_sqlite { $( #[tokio::test]
            async fn $behaviour() { super::$behaviour(tests::environment::Backend::Sqlite).await; } )+ }
        mod on_mariadb { $( #[tokio::test]
            async fn $behaviour() { super::$behaviour(tests::environment::Backend::MariaDb).await; } )+ }
        mod on_postgres { $( #[tokio::test]
            async fn $behaviour() { super::$behaviour(tests::environment::Backend::Postgres).await; } )+ }
    };
}

on_every_store!(
    seeded_records_are_delivered_verified_and_repaired,
    an_aggregate_of_any_type_is_named_in_every_command,
    records_wait_for_their_patient_and_follow_their_merged_patient,
);

/// A host with the seeds delivered to OpenEMR.
struct Stand {
    host: Host,
    store: Database,
    openemr: Database,
}

impl Stand {
    async fn on(backend: Backend) -> Option<Self> {
        let store = Database::fresh(backend).await.expect("store")?;
        let openemr = openemr_database("8.2.0").await?;
        let host = host_with_records(store.url(), openemr.url());
        let seeds = ["initial.toml", "clinical.toml"].map(|name| workspace().join("seeds").join(name));
        let seeds = seeds.map(|path| path.to_string_lossy().into_owned());
        let seeded = host.run(&["seed", &seeds[0], &seeds[1]]).expect_success().stdout;
        assert!(seeded.contains("Clinical records: 21 created, 0 updated, 0 unchanged"), "{seeded}");
        let stand = Self { host, store, openemr };
        stand.deliver();
        Some(stand)
    }

    fn run(&self, line: &str) -> String {
        let words: Vec<_> = line.split(' ').collect();
        self.host.run(&words).expect_success().stdout
    }

    fn json(&self, line: &str) -> Value {
        let words: Vec<_> = line.split(' ').chain(["--json"]).collect();
        self.host.run(&words).json()
    }

    fn deliver(&self) {
        let _ = self.run("run --until-idle");
    }

    async fn openemr(&self, sql: &str) -> Vec<Vec<String>> {
        rows(self.openemr.url(), sql).await
    }

    fn equal(&self) -> Value {
        let verified = self.json("verify --target openemr");
        assert_eq!(verified["findings"], json!([]), "{verified}");
        verified["verification"]["equal"].clone()
    }
}

async fn seeded_records_are_delivered_verified_and_repaired(backend: Backend) {
    let Some(stand) = Stand::on(backend).await else { return };
    // OpenEMR has no place for laboratory results, and the target takes no other resources.
    let totals = stand.host.status()["totals"].clone();
    assert_eq!(
        (&totals["done"], &totals["skipped"], &totals["failed"]),
        (&json!(21), &json!(4), &json!(0)),
        "{totals}"
    );
    assert_eq!(stand.equal(), 21);
    let edits = [
        "UPDATE patient_data SET city = 'Elsewhere' WHERE pubpid = 'P-2025-003'",
        "UPDATE form_encounter SET reason = 'Elsewhere' LIMIT 1",
        "DELETE FROM lists WHERE type = 'allergy' LIMIT 1",
    ];
    for edit in edits {
        stand.openemr.execute(edit).await.expect("change by others");
    }
    let found = stand.json("verify --target openemr");
    let counts = &found["verification"]["counts"];
    assert_eq!((&counts["edited"], &counts["gone"]), (&json!(2), &json!(1)), "{found}");
    let repaired = stand.json("verify --target openemr --repair");
    assert_eq!(repaired["repair"], json!({ "queued": 3, "left": 0 }), "{repaired}");
    stand.deliver();
    assert_eq!(stand.equal(), 21);
    let elsewhere = "SELECT CAST(COUNT(*) AS CHAR) FROM form_encounter WHERE reason = 'Elsewhere'";
    assert_eq!(stand.openemr(elsewhere).await, [["0"]]);
}

async fn an_aggregate_of_any_type_is_named_in_every_command(backend: Backend) {
    let Some(stand) = Stand::on(backend).await else { return };
    let of = "--type encounter --id E-2025-0001";
    let status = stand.json(&format!("status {of}"));
    let recent: Vec<_> = status["recent"].as_array().expect("a list").iter().map(|one| &one["aggregate_id"]).collect();
    assert_eq!(recent, ["E-2025-0001"], "{status}");
    let dry_run = stand.json(&format!("plugin dry-run {of}"));
    assert_eq!((&dry_run["aggregate_type"], &dry_run["aggregate_id"]), (&json!("encounter"), &json!("E-2025-0001")));
    let traced = stand.run(&format!("trace {of}"));
    assert!(traced.contains("E-2025-0001") && traced.contains("openemr"), "{traced}");
    let why = stand.host.run(&["why", "--type", "encounter", "--id", "E-2025-0001", "--target", "openemr"]);
    assert!(why.stdout.contains("E-2025-0001"), "{}{}", why.stdout, why.stderr);
    let queued = stand.run(&format!("resync --target openemr {of}"));
    assert!(queued.contains("1 clinical records queued for openemr sync"), "{queued}");
    stand.deliver();

    append(stand.store.url(), "create", ("encounter", "E-X"), &json!({ "status": "unheard" }), &json!([])).await;
    stand.deliver();
    let of = "--type encounter --id E-X";
    let failed = stand.json(&format!("failed list {of}"));
    assert_eq!(failed["failed"].as_array().map(Vec::len), Some(1), "{failed}");
    assert_eq!(stand.run(&format!("retry {of}")), "1 failed deliveries are pending again\n");
    assert_eq!(stand.run(&format!("conflicts {of}")), "no conflicts\n");
    stand.deliver();
    let dismissed = stand.run(&format!("failed dismiss {of} --reason unreadable"));
    assert!(dismissed.starts_with("dismissed 1 failed deliveries;"), "{dismissed}");
    assert_eq!(stand.run(&format!("failed list {of}")), "no failed deliveries\n");
    let unknown = stand.host.run(&["failed", "list", "--type", "encounter", "--id", "E-Y"]);
    assert_eq!(unknown.status, Some(1));
    assert!(unknown.stderr.contains("error: the store has no encounter `E-Y`\n"), "{}", unknown.stderr);
}

async fn records_wait_for_their_patient_and_follow_their_merged_patient(backend: Backend) {
    let Some(stand) = Stand::on(backend).await else { return };
    let visit = json!({ "status": "in-progress", "class": "AMB", "period": { "start": "2025-03-01T09:30:00+09:00" } });
    let subject = json!([{ "name": "subject", "type": "patient", "id": "W-1" }]);
    append(stand.store.url(), "create", ("encounter", "E-W"), &visit, &subject).await;
    assert_eq!(stand.host.run(&["run", "--until-idle"]).status, Some(1), "something is left");
    let waiting = stand.run("waiting");
    assert!(waiting.contains("of encounter E-W [openemr] waits for patient W-1 (not written yet), for "), "{waiting}");
    let waiting = stand.json("waiting --target openemr");
    assert_eq!(waiting["waiting"][0]["waits_for"][0]["aggregate_id"], "W-1", "{waiting}");
    put(&stand.host, &patient("W-1"));
    stand.deliver();
    assert_eq!(stand.json("waiting")["waiting"], json!([]));

    let pids =
        "SELECT CAST(pid AS CHAR) FROM patient_data WHERE pubpid IN ('P-2025-001', 'P-2025-002') ORDER BY pubpid";
    let pids: Vec<String> = stand.openemr(pids).await.concat();
    let [survivor, merged] = &pids[..] else { panic!("two charts: {pids:?}") };
    // One encounter and two allergies, which nobody else has.
    let theirs = "SELECT CAST(pid AS CHAR) FROM form_encounter WHERE reason LIKE 'Urticaria%' \
                  UNION ALL SELECT CAST(pid AS CHAR) FROM lists WHERE type = 'allergy'";
    assert_eq!(stand.openemr(theirs).await.concat(), vec![merged.clone(); 3]);
    let said = stand.run("patient merge P-2025-002 P-2025-001 --reason twice");
    assert!(said.starts_with("[OK] Patient merged: P-2025-002 into P-2025-001 (queued"), "{said}");
    stand.deliver();
    assert_eq!(stand.openemr(theirs).await.concat(), vec![survivor.clone(); 3]);
    assert_eq!(stand.equal(), 23);
    let undone = stand.run("patient unmerge P-2025-002");
    assert!(undone.starts_with("[OK] Merge undone: P-2025-002 from P-2025-001 (queued"), "{undone}");
    stand.deliver();
    assert_eq!(stand.openemr(theirs).await.concat(), vec![merged.clone(); 3]);
    assert_eq!(stand.equal(), 23);
}
