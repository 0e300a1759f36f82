//! Adapters with a fault of merging or observing are given to the suite: it finds each, and names it.

use std::fs;

use tests::environment::adapter;

use crate::{conformance, failed, host};

/// Fault of the adapter that merges, with words of the only check that fails.
const MERGE_FAULTS: &[(&str, &str)] = &[
    ("nothing", "a merge was confirmed, and the target is as it was: mark the record"),
    ("deletes", "a merge deleted a record: mark it, lead its users to the survivor's, and delete nothing"),
    ("another-id", "a merge gave another remote-id: it must mark the record that the link names"),
    ("creates", "a merge of what the target never had made or deleted a record"),
    ("changes-survivor", "`observe` gives another fingerprint for the survivor than its receipt"),
    ("hides", "`observe` does not see the merged record, expected `present`"),
    ("counts", "the same merge twice gave another remote-id or fingerprint"),
    ("keeps", "the record is still marked: take the mark away"),
];

#[test]
fn a_merge_that_marks_nothing_deletes_or_cannot_be_undone_fails_with_the_fault_named() {
    let host = host();
    let table = "CREATE TABLE person (patient_id VARCHAR(64) PRIMARY KEY, name VARCHAR(255), merged_into VARCHAR(64));";
    fs::write(host.folder().join("tables.sql"), table).expect("write");
    let merging = adapter("testing-merging");
    let (output, said) = conformance(&host, &merging, &["--setup", "tables.sql"]);
    assert_eq!((failed(&said), output.status), (Vec::new(), Some(0)), "{said}");
    for (fault, words) in MERGE_FAULTS {
        fs::write(host.folder().join("settings.toml"), format!("fault = \"{fault}\"\n")).expect("write");
        let with_fault = ["--setup", "tables.sql", "--settings", "settings.toml"];
        let (output, said) = conformance(&host, &merging, &with_fault);
        let failed = failed(&said);
        assert_eq!((failed.len(), output.status), (1, Some(5)), "{fault}: {failed:?}");
        assert!(failed[0].starts_with("merge: ") && failed[0].contains(words), "{fault}: {failed:?}");
    }
}

/// Fault of the database adapter that observes, with words of the check's message.
const OBSERVE_FAULTS: &[(&str, &str)] = &[
    ("echoes", "another state of a record has the fingerprint from before: compute it from what the target holds now"),
    ("keeps", "a record that others edited has the fingerprint from before: compute it from what the target holds now"),
    ("differs", "what was just written has another fingerprint than its receipt, although nobody changed the record"),
    ("forgets", "its receipts hold no fingerprint: nobody can tell an edit"),
    ("blind", "what was just written is not seen: `gone`"),
    ("invents", "expected `gone` for a record that is not there, not `present`"),
    ("drops", "another state of a record is there once, and `gone` came back"),
    ("reverses", "what was just written has another fingerprint than its receipt"),
    ("omits", "1 observations for 2"),
    ("spares", "a record that was deleted has the fingerprint from before"),
    ("writes", "`observe` failed"),
];

/// Fault of the HTTP adapter that observes.
const HTTP_OBSERVE_FAULTS: &[(&str, &str)] = &[
    ("echoes", "another state of a record has the fingerprint from before: compute it from what the target holds now"),
    ("first", "others made a second record with the same content, and `present` came back: search by your key"),
    ("invents", "expected `gone` for a record that is not there, not `present`"),
    ("writes", "`observe` failed"),
];

/// Gives the adapter to the suite, without a fault and with each: only the check of observing fails, with these words.
fn each_fault_of_observing_is_named(component: &str, more: &[&str], seen: &str, faults: &[(&str, &str)]) {
    let host = host();
    let table =
        "CREATE TABLE person (patient_id VARCHAR(64) PRIMARY KEY, name VARCHAR(2000), fingerprint VARCHAR(64));";
    fs::write(host.folder().join("tables.sql"), table).expect("write");
    let (output, said) = conformance(&host, &adapter(component), more);
    assert_eq!((failed(&said), output.status), (Vec::new(), Some(0)), "{said}");
    let checks = said["checks"].as_array().expect("checks");
    let message = &checks.iter().find(|check| check["check"] == "observe").expect("the check")["message"];
    assert_eq!(message, seen);
    for (fault, words) in faults {
        fs::write(host.folder().join("settings.toml"), format!("fault = \"{fault}\"\n")).expect("write");
        let with_fault = [more, &["--settings", "settings.toml"]].concat();
        let (output, said) = conformance(&host, &adapter(component), &with_fault);
        let failed = failed(&said);
        assert_eq!((failed.len(), output.status), (1, Some(5)), "{fault}: {failed:?}");
        assert!(failed[0].starts_with("observe: ") && failed[0].contains(words), "{fault}: {failed:?}");
    }
}

#[test]
fn an_adapter_that_does_not_see_what_its_database_holds_fails_with_the_fault_named() {
    let seen = "what was written, another state, a delete, an edit of others, their deletion and a missing record: each \
                is seen";
    each_fault_of_observing_is_named("testing-observing", &["--setup", "tables.sql"], seen, OBSERVE_FAULTS);
}

#[test]
fn an_adapter_that_does_not_see_what_its_server_holds_fails_with_the_fault_named() {
    let seen = "what was written, another state, an edit of others, their deletion, their double and a missing record: \
                each is seen";
    each_fault_of_observing_is_named("testing-observing-http", &[], seen, HTTP_OBSERVE_FAULTS);
}
