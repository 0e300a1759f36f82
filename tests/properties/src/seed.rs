//! A seed file: it is read or refused with lines, no password, name or date is repeated, and every patient of it can be
//! delivered.
//!
//! Input: the file. The variable `SECRET` is set.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use host::domain::patient::{Day, Patient};
use host::seed_file::SeedFile;
use toml::de::{DeTable, DeValue};

use crate::said::{MARK, assert_problems, assert_unmarked, within};

/// See the module.
pub fn check(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("seed.toml");
    fs::write(&path, data).expect("write");
    let today = Day::read("2026-01-01").expect("a day");
    let environment = |name: &str| (name == "SECRET").then(|| format!("{MARK}-0123456789"));
    match within(Duration::from_secs(5), || SeedFile::read(&path, today, environment)) {
        Ok(seed) => assert_read(&seed, today),
        Err(error) => {
            assert_problems(error.problems(), &[data]);
            if !names_a_mark(&String::from_utf8_lossy(data)) {
                assert_unmarked(&error.to_string());
            }
        }
    }
}

fn assert_read(seed: &SeedFile, today: Day) {
    let mut names = BTreeSet::new();
    for seeded in &seed.users {
        assert!(names.insert(seeded.user.username.as_str().to_owned()), "a user twice");
        assert!(!seeded.password.secret().expose().is_empty());
        let shown = format!("{:?}", seeded.password);
        assert_unmarked(&shown);
    }
    let mut ids = BTreeSet::new();
    for patient in &seed.patients {
        assert!(ids.insert(patient.patient_id.as_str().to_owned()), "a patient twice");
        assert_eq!(
            Patient::from_payload(&patient.payload(), today).ok().as_ref(),
            Some(patient),
            "the payload is another patient"
        );
    }
}

/// Whether a key has the mark, since messages name keys. In a text that is not wholly understood each mark must be
/// in a simple value.
fn names_a_mark(text: &str) -> bool {
    let (table, errors) = DeTable::parse_recoverable(text);
    let in_value = |line: &str| {
        line.split_once('=')
            .is_some_and(|(key, value)| !key.contains(MARK) && !key.contains('[') && !value.contains(['=', '{', '[']))
    };
    let mut marked = text.lines().filter(|line| line.contains(MARK));
    in_keys(table.get_ref()) || (!errors.is_empty() && !marked.all(in_value))
}

fn in_keys(table: &DeTable<'_>) -> bool {
    table.iter().any(|(key, value)| key.get_ref().contains(MARK) || in_keys_below(value.get_ref()))
}

fn in_keys_below(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(table) => in_keys(table),
        DeValue::Array(items) => items.iter().any(|item| in_keys_below(item.get_ref())),
        // The name of a variable is named too.
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            false
        }
    }
}
