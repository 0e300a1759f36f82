//! Refuses the retired words of the project's own language, in code, comments, messages and docs: each has a term of
//! the field, which `docs/glossary.md` defines.
//!
//! It knows the words that are gone, so that none comes back. What dated pages, snapshots of other programs and the
//! frozen interface say is not judged.

use std::fs;

use super::tracked_files;

/// A word or phrase, exactly so, and what to write instead.
const RETIRED: &[(&str, &str)] = &[
    ("AT_PLACE", "BY_CTID"),
    ("Account", "RegistryAuth"),
    ("AdapterNews", "AdapterEvent"),
    ("BREATH", "STEP_PAUSE"),
    ("Breach", "LimitExceeded"),
    ("Exchange", "TranscriptEntry"),
    ("Fixture", "SeedFile (the file that `host seed` reads)"),
    ("FixtureError", "SeedFileError"),
    ("HTTP double", "mock server"),
    ("Handover", "Demand"),
    ("KNOWN_OPERATION", "OPERATION_IS_KNOWN_SQL"),
    ("Moot", "Superseded"),
    ("News", "the event that it is"),
    ("NoDouble", "NoMockServer"),
    ("NothingLent", "NoCapability"),
    ("OnlyMoot", "OnlySuperseded"),
    ("OtherHands", "OtherWriters"),
    ("OtherWorld", "WorldMismatch"),
    ("PROBATION", "ROLLBACK_WINDOW"),
    ("Peer", "RegistryClient"),
    ("Place", "ScanCursor, or ScratchDatabase"),
    ("Placing", "InstallPlan"),
    ("Reader", "RowReader, or SectionReader"),
    ("Rehearsal", "DryRun"),
    ("Retire", "Supersede"),
    ("Sought", "ChartQuery"),
    ("Taken", "ClaimOutcome"),
    ("TargetNews", "TargetReport"),
    ("TargetWish", "DesiredState"),
    ("Troubles", "AttentionSummary"),
    ("Unclear", "Ambiguous"),
    ("UnderLease", "ClaimedIds"),
    ("all_of", "expect_rows"),
    ("assemble", "wiring"),
    ("enter_work", "begin_in_flight"),
    ("follow_people", "resolve_manual_links"),
    ("free_work", "requeue_in_flight"),
    ("handover", "demand"),
    ("has_company", "other_hosts_running"),
    ("he cannot", "they cannot"),
    ("introduce", "describe"),
    ("is_straight", "is_direct"),
    ("leave_work", "end_in_flight"),
    ("let_wait", "enqueue"),
    ("make_done", "insert_done"),
    ("mending", "fixing"),
    ("move_each", "update_each"),
    ("open_to_everybody", "world_writable_mode"),
    ("other_hands", "other_writers"),
    ("outrun", "lost_race"),
    ("peer", "registry client"),
    ("rehearsal", "dry run"),
    ("rehearse", "dry_run"),
    ("something_waits", "notify_pending"),
    ("sort_out", "select_newest"),
    ("stay_away", "back_off"),
    ("watch_over", "supervise"),
];

/// As [`RETIRED`], for the host, the tests and the tasks. Docs and adapters still have some of them.
const RETIRED_IN_CODE: &[(&str, &str)] = &[
    ("a person", "an operator, or a user"),
    ("anybody", "the actor: the host, an operator, another program"),
    ("beside", "next to, against, or in addition to"),
    ("gives back", "returns, releases, or requeues"),
    ("given back", "returned, released, or requeued"),
    ("in work", "in flight"),
    ("in_line", "queued"),
    ("in_work", "in_flight"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("moot", "superseded"),
    ("retire", "supersede"),
    ("says", "names, shows, reports, or is"),
    ("somebody", "the actor: a host, an operator, another program"),
    ("straight", "direct, or directly"),
    ("without a word", "silently"),
];

/// Where [`RETIRED_IN_CODE`] is refused, except below the second of them.
const CODE: (&[&str], &str) = (&["host/", "tests/", "xtask/"], "host/src/plugin/");

/// What is judged.
const JUDGED: [&str; 11] = [
    "host",
    "plugins",
    "tests",
    "xtask",
    "docs",
    "migrations",
    "wit/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
];

/// What is not: this list, FHIR's own names, evidence of a day, what other programs wrote, another language.
const SPARED: [&str; 6] = [
    "tests/tests/architecture/words.rs",
    "host/src/import/fhir_r4.rs",
    "docs/evidence/",
    "docs/ko/",
    "tests/fixtures/",
    "tests/servers/",
];

/// Whether a line holds the word, with no letter, digit or `_` on either side.
fn holds(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

fn is_code(name: &str) -> bool {
    let (folders, spared) = CODE;
    folders.iter().any(|folder| name.starts_with(folder)) && !name.starts_with(spared)
}

#[test]
fn no_retired_word_is_used() {
    let mut found = Vec::new();
    let files = tracked_files(&JUDGED);
    assert!(files.len() > 300, "only {} files were found", files.len());
    for (name, path) in files {
        if SPARED.iter().any(|spared| name.starts_with(spared)) {
            continue;
        }
        // What is not text is no text of ours.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            let in_code = if is_code(&name) { RETIRED_IN_CODE } else { &[] };
            let retired = RETIRED.iter().chain(in_code).filter(|(word, _)| holds(line, word));
            found.extend(retired.map(|(word, instead)| format!("{name}:{number}: `{word}`: write {instead}")));
        }
    }
    assert!(found.is_empty(), "retired words:\n{}", found.join("\n"));
}

#[test]
fn a_retired_word_is_matched_only_as_a_whole_word() {
    assert!(holds("let it = assemble(x);", "assemble"));
    assert!(holds("as he cannot do", "he cannot"));
    assert!(!holds("reassemble, assembled, assemble_all", "assemble"));
    assert!(!holds("the cannot", "he cannot"));
}
