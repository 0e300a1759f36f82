//! `[targets.NAME.database.allow]`: the tables that an adapter may use. Without it nothing is granted.
//!
//! A preset lists the grants of a bundled adapter. It is built into the host: an adapter never grants itself anything.

use serde::Deserialize;

use super::section_reader::SectionReader;
use crate::domain::grants::{self, SqlGrants, TableVerb, Tables};
use crate::domain::words::one_of;

/// The presets by name: the adapter's own name.
const PRESETS: [(&str, &str); grants::PRESETS.len()] =
    [(grants::PRESETS[0], include_str!("../../../plugins/openemr/grants.toml"))];
/// The longest name of a table, in characters; no supported database allows more.
const TABLE_CHARS_MAX: usize = 64;
/// Instead of a list of names: every table of the target's own database.
const EVERY_TABLE: &str = "*";

/// A preset's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preset {
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    insert: Vec<String>,
    #[serde(default)]
    update: Vec<String>,
    #[serde(default)]
    delete: Vec<String>,
}

/// Reads the section. Lists add to the preset.
pub(super) fn read_allow(mut allow: SectionReader<'_>) -> SqlGrants {
    let chosen = allow.text("preset").and_then(|entry| {
        let found = PRESETS.iter().find(|(name, _)| *name == entry.value);
        if found.is_none() {
            allow.note_key(
                "preset",
                format!("must be {}; for other adapters name the tables", one_of(&grants::PRESETS)),
            );
        }
        found
    });
    let mut grants = chosen.map(|(_, text)| preset(text)).unwrap_or_default();
    for verb in TableVerb::ALL {
        let key = verb.as_str();
        for entry in allow.texts(key).unwrap_or_default() {
            match read_name(&entry.value) {
                Ok(Some(table)) => grants.of_mut(*verb).add(&table),
                Ok(None) => *grants.of_mut(*verb) = Tables::All,
                Err(problem) => allow.note_key(key, problem),
            }
        }
    }
    allow.finish(&[]);
    grants
}

fn preset(text: &str) -> SqlGrants {
    #[allow(clippy::disallowed_methods, reason = "our own text")]
    let preset: Preset = toml::from_str(text).expect("invariant: a preset that is built in is well formed");
    let tables = |names: &[String]| names.iter().map(String::as_str).collect();
    SqlGrants {
        read: tables(&preset.read),
        insert: tables(&preset.insert),
        update: tables(&preset.update),
        delete: tables(&preset.delete),
    }
}

/// A table's name; `None` for every table.
fn read_name(name: &str) -> Result<Option<String>, String> {
    if name == EVERY_TABLE {
        return Ok(None);
    }
    if name.contains('.') {
        return Err(
            "names a table of another schema: only those of the target's own database can be granted".to_owned()
        );
    }
    let plain = name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '$' | '-' | ' '));
    if name.trim().is_empty() || name.chars().count() > TABLE_CHARS_MAX || !plain {
        return Err(format!(
            "must list names of tables (letters, digits and `_`, at most {TABLE_CHARS_MAX}) without quotes, or \"*\""
        ));
    }
    Ok(Some(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_well_formed_and_grants_something() {
        for (name, text) in PRESETS {
            let grants = preset(text);
            assert_ne!(grants, SqlGrants::default(), "{name}");
            let all = TableVerb::ALL.iter().any(|verb| *grants.of(*verb) == Tables::All);
            assert!(!all, "{name} names its tables");
        }
    }

    #[test]
    fn a_granted_name_is_an_unquoted_identifier() {
        assert_eq!(read_name("Patient_Data"), Ok(Some("Patient_Data".to_owned())));
        assert_eq!(read_name("*"), Ok(None));
        for name in ["", " ", "mysql.user", "a`b", "a\"b", "a;b", &"x".repeat(65)] {
            assert!(read_name(name).is_err(), "{name}");
        }
    }
}
