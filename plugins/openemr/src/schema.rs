//! The schema of one OpenEMR: its version, its columns with their limits, and the options of its lists.
//!
//! It is the `state` that `check` returns and every `apply` receives. It never holds a patient's data and never talks
//! to a database: `detect.rs` fills it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::columns::{Content, OWN_COLUMNS, OwnColumn};
use crate::form::Form;
use crate::lists::{self, ListOption};

/// Increased whenever the serialised form changes its meaning, so that an older state is discarded.
const STATE_FORMAT: u32 = 3;

/// The columns that `patient_data` must have, in addition to the required ones of [`OWN_COLUMNS`].
const REQUIRED_COLUMNS: [&str; 4] = ["pid", "pubpid", "date", "regdate"];

/// The schema of one OpenEMR.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Schema {
    pub(crate) state_format: u32,
    pub(crate) version: Option<Version>,
    /// Columns of `patient_data` by lower-case name; empty when there is no such table.
    pub(crate) patient: BTreeMap<String, Column>,
    /// Columns of `uuid_registry` by lower-case name; empty when there is no such table.
    pub(crate) registry: BTreeMap<String, Column>,
    /// The existing tables of clinical records, each with its columns by lower-case name.
    pub(crate) records: BTreeMap<String, BTreeMap<String, Column>>,
    /// Why records of a type cannot be written here, by aggregate type; see `records/availability.rs`.
    pub(crate) unavailable: BTreeMap<String, String>,
    /// Options by list. A missing list is unknown.
    pub(crate) options: BTreeMap<String, Vec<ListOption>>,
    /// OpenEMR's demographics form; `None` when it could not be read.
    pub(crate) form: Option<Form>,
    /// Whether `pubpid` has an index, so that a search needs no scan.
    pub(crate) pubpid_is_indexed: bool,
    /// Tables that could not be read, with the reason. Only `check` uses them.
    #[serde(skip)]
    pub(crate) unread: Vec<String>,
}

/// The row of OpenEMR's table `version`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Version {
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) patch: i64,
    /// The number of the patch release; 0 for none.
    pub(crate) real_patch: i64,
    /// For example `-dev`; empty for a release.
    pub(crate) tag: String,
    /// The version number of the database schema; 0 when unknown.
    pub(crate) database: i64,
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "OpenEMR {}.{}.{}{}", self.major, self.minor, self.patch, self.tag)?;
        if self.real_patch > 0 {
            write!(formatter, " patch {}", self.real_patch)?;
        }
        if self.database > 0 {
            write!(formatter, " (database version {})", self.database)?;
        }
        Ok(())
    }
}

/// The properties of one column.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Column {
    pub(crate) nullable: bool,
    /// Whether the database fills it when an INSERT leaves it out.
    pub(crate) has_default: bool,
    pub(crate) characters_max: Option<u64>,
    pub(crate) bytes_max: Option<u64>,
    /// The number of decimals, for a decimal number.
    pub(crate) decimals: Option<u8>,
    pub(crate) charset: Charset,
}

/// The characters that a column can hold.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Charset {
    /// All of Unicode, or a column without text.
    Any,
    /// MySQL's three-byte `utf8`: the basic multilingual plane.
    Utf8Mb3,
    /// MySQL's `latin1`, which is Windows-1252.
    Latin1,
    Ascii,
    /// Another one: the database decides.
    Other,
}

/// The characters of Windows-1252 in the place of ISO 8859-1's control characters.
const WINDOWS_1252_EXTRAS: &str = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";

impl Charset {
    /// Reads `CHARACTER_SET_NAME` of `information_schema`.
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name {
            None | Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "binary") => Self::Any,
            Some("utf8" | "utf8mb3") => Self::Utf8Mb3,
            Some("latin1") => Self::Latin1,
            Some("ascii") => Self::Ascii,
            Some(_) => Self::Other,
        }
    }

    /// Whether every character of the text can be stored.
    pub(crate) fn holds(self, text: &str) -> bool {
        match self {
            Self::Any | Self::Other => true,
            Self::Utf8Mb3 => text.chars().all(|character| character <= '\u{ffff}'),
            Self::Latin1 => text.chars().all(|character| {
                character < '\u{80}'
                    || ('\u{a0}'..='\u{ff}').contains(&character)
                    || WINDOWS_1252_EXTRAS.contains(character)
            }),
            Self::Ascii => text.is_ascii(),
        }
    }
}

/// The result of looking up a text in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed<'a> {
    /// The list has it, with this spelling.
    As(&'a str),
    /// The list does not have it.
    Not,
    /// The list is unknown.
    Unknown,
}

impl Schema {
    /// An empty schema.
    pub(crate) fn new() -> Self {
        Self { state_format: STATE_FORMAT, ..Self::default() }
    }

    /// Reads the result of `to_state`; `None` when it is empty, unreadable or of another format.
    pub(crate) fn from_state(state: &[u8]) -> Option<Self> {
        let schema: Self = serde_json::from_slice(state).ok()?;
        (schema.state_format == STATE_FORMAT).then_some(schema)
    }

    pub(crate) fn to_state(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: text keys and plain values always serialise")
    }

    /// Whether charts are found by uuid (6.0 and later) rather than by `pubpid`.
    pub(crate) fn has_uuid(&self) -> bool {
        self.patient.contains_key("uuid")
    }

    /// A column of `patient_data`, by its name in any case.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.patient.get(&name.to_ascii_lowercase())
    }

    /// The columns that this adapter writes and this OpenEMR has, in a fixed order.
    pub(crate) fn own_columns(&self) -> Vec<&'static OwnColumn> {
        OWN_COLUMNS.iter().filter(|column| self.column(column.name).is_some()).collect()
    }

    /// The columns that this adapter writes but this OpenEMR lacks.
    pub(crate) fn absent_columns(&self) -> Vec<&'static str> {
        OWN_COLUMNS.iter().map(|column| column.name).filter(|name| self.column(name).is_none()).collect()
    }

    /// The missing columns without which nothing can be delivered, as `table.column`.
    pub(crate) fn missing_minimum(&self) -> Vec<String> {
        if self.patient.is_empty() {
            return vec!["patient_data".to_owned()];
        }
        let required = OWN_COLUMNS.iter().filter(|column| column.required).map(|column| column.name);
        let mut missing: Vec<String> = REQUIRED_COLUMNS
            .into_iter()
            .chain(required)
            .filter(|name| self.column(name).is_none())
            .map(|name| format!("patient_data.{name}"))
            .collect();
        if self.has_uuid() {
            if self.registry.is_empty() {
                missing.push("uuid_registry".to_owned());
            } else {
                let columns = ["uuid", "table_name"].into_iter().filter(|name| !self.registry.contains_key(*name));
                missing.extend(columns.map(|name| format!("uuid_registry.{name}")));
            }
        }
        missing
    }

    /// Columns of `patient_data` without NULL and default that our INSERT would leave out.
    pub(crate) fn demanding_columns(&self) -> Vec<&str> {
        let ours = |name: &str| {
            OWN_COLUMNS.iter().any(|column| column.name.eq_ignore_ascii_case(name))
                || REQUIRED_COLUMNS.contains(&name)
                || name == "uuid"
        };
        self.patient
            .iter()
            .filter(|(name, column)| !column.nullable && !column.has_default && !ours(name))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Looks up a text in a list, as an option's id, title or code.
    pub(crate) fn listed(&self, list: &str, text: &str) -> Listed<'_> {
        match self.options.get(list) {
            None => Listed::Unknown,
            Some(options) => lists::find(options, text).map_or(Listed::Not, Listed::As),
        }
    }

    /// Looks up a text in the lists that OpenEMR's form offers for a column; in `list` if the form names none.
    pub(crate) fn offered<'a>(&'a self, column: &str, list: &'a str, text: &str) -> Listed<'a> {
        let lists = self.form_lists(column);
        if lists.is_empty() {
            return self.listed(list, text);
        }
        let mut verdict = Listed::Unknown;
        for list in lists {
            match self.listed(list, text) {
                Listed::As(option) => return Listed::As(option),
                Listed::Not => verdict = Listed::Not,
                Listed::Unknown => {}
            }
        }
        verdict
    }

    /// The lists that restrict a column in the form; empty if it accepts any text or is unknown.
    pub(crate) fn form_lists(&self, column: &str) -> &[String] {
        self.form.as_ref().and_then(|form| form.field(column)).map_or(&[], |field| &field.lists)
    }

    /// Describes how a value exceeds the limit of OpenEMR's form; `None` when it does not.
    pub(crate) fn too_long_for_form(&self, name: &str, text: &str) -> Option<String> {
        let limit = self.form.as_ref()?.field(name)?.length_max?;
        let (length, unit) =
            if self.form_is_recent() { (text.chars().count(), "characters") } else { (text.len(), "bytes") };
        (length as u64 > limit).then(|| {
            format!(
                "OpenEMR's form takes {limit} {unit} in `{name}`, the value has {length}: raise it under Administration > \
                 Forms > Layouts > Demographics"
            )
        })
    }

    /// Whether the form is that of 7.0.2 or later. It counts characters (earlier: bytes), and empties a value that is
    /// not an option of the field's list (earlier: kept it).
    pub(crate) fn form_is_recent(&self) -> bool {
        self.version.as_ref().is_some_and(|version| (version.major, version.minor, version.patch) >= (7, 0, 2))
    }

    /// Describes why a value does not fit its column of `patient_data`; `None` when it fits.
    pub(crate) fn misfit(&self, name: &str, content: Content, text: &str) -> Option<String> {
        self.column(name)?.misfit(name, content, text)
    }
}

impl Column {
    /// Describes why a value does not fit; `None` when it fits.
    pub(crate) fn misfit(&self, name: &str, content: Content, text: &str) -> Option<String> {
        if !content.is_text() {
            return None;
        }
        let characters = text.chars().count() as u64;
        if let Some(limit) = self.characters_max.filter(|limit| characters > *limit) {
            return Some(format!("column `{name}` takes {limit} characters, the value has {characters}"));
        }
        let bytes = match self.charset {
            Charset::Latin1 | Charset::Ascii => characters,
            Charset::Any | Charset::Utf8Mb3 | Charset::Other => text.len() as u64,
        };
        if let Some(limit) = self.bytes_max.filter(|limit| bytes > *limit) {
            return Some(format!("column `{name}` takes {limit} bytes, the value has {bytes}"));
        }
        if text.contains('\0') {
            return Some(format!("column `{name}` is text, the value has a NUL character"));
        }
        (!self.charset.holds(text)).then(|| {
            format!("column `{name}` cannot hold every character of the value: its character set is too small")
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::form::Field;
    use crate::lists::tests::ids;

    /// A release.
    pub(crate) fn version(major: i64, minor: i64, patch: i64) -> Version {
        Version { major, minor, patch, real_patch: 0, tag: String::new(), database: 0 }
    }

    /// A column of a test's schema.
    pub(crate) fn varchar(characters: u64) -> Column {
        Column {
            nullable: false,
            has_default: true,
            characters_max: Some(characters),
            bytes_max: Some(characters * 4),
            decimals: None,
            charset: Charset::Any,
        }
    }

    /// A schema with every own column, `varchar(255)` and NOT NULL, and with no list known.
    pub(crate) fn full() -> Schema {
        let mut schema = Schema::new();
        for name in OWN_COLUMNS.iter().map(|column| column.name).chain(REQUIRED_COLUMNS).chain(["uuid"]) {
            let mut column = varchar(255);
            column.nullable = ["suffix", "street_line_2", "DOB", "deceased_date", "uuid"].contains(&name);
            schema.patient.insert(name.to_ascii_lowercase(), column);
        }
        for name in ["uuid", "table_name", "table_id"] {
            schema.registry.insert(name.to_owned(), varchar(255));
        }
        schema
    }

    #[test]
    fn state_round_trips_and_other_bytes_are_refused() {
        let mut schema = full();
        schema.options.insert("sex".into(), ids(&["Male"]));
        schema.form = Some(Form::default());
        assert_eq!(Schema::from_state(&schema.to_state()), Some(schema.clone()));
        assert_eq!(Schema::from_state(b""), None);
        assert_eq!(Schema::from_state(b"{}"), None);
        schema.state_format = STATE_FORMAT + 1;
        assert_eq!(Schema::from_state(&schema.to_state()), None);
    }

    #[test]
    fn a_version_is_shown_in_its_usual_form() {
        let version = Version { major: 7, minor: 0, patch: 2, real_patch: 0, tag: String::new(), database: 512 };
        assert_eq!(version.to_string(), "OpenEMR 7.0.2 (database version 512)");
        let patched = Version { real_patch: 1, tag: "-dev".into(), database: 0, ..version };
        assert_eq!(patched.to_string(), "OpenEMR 7.0.2-dev patch 1");
    }

    #[test]
    fn missing_columns_are_named() {
        assert_eq!(Schema::new().missing_minimum(), ["patient_data"]);
        let mut schema = full();
        assert!(schema.missing_minimum().is_empty());
        schema.patient.remove("dob");
        schema.registry.remove("table_name");
        assert_eq!(schema.missing_minimum(), ["patient_data.DOB", "uuid_registry.table_name"]);
        schema.patient.remove("uuid");
        assert_eq!(schema.missing_minimum(), ["patient_data.DOB"]);
    }

    #[test]
    fn a_required_column_without_default_is_found() {
        let mut schema = full();
        assert!(schema.demanding_columns().is_empty());
        schema.patient.insert("custom".into(), Column { has_default: false, ..varchar(10) });
        assert_eq!(schema.demanding_columns(), ["custom"]);
    }

    #[test]
    fn an_older_openemr_has_fewer_owned_columns() {
        let mut schema = full();
        schema.patient.remove("suffix");
        assert_eq!(schema.absent_columns(), ["suffix"]);
        assert_eq!(schema.own_columns().len(), OWN_COLUMNS.len() - 1);
    }

    #[test]
    fn an_option_is_matched_in_the_lists_own_spelling() {
        let mut schema = full();
        assert_eq!(schema.listed("race", "asian"), Listed::Unknown);
        schema.options.insert("race".into(), ids(&["Asian", "white"]));
        assert_eq!(schema.listed("race", "asian"), Listed::As("Asian"));
        assert_eq!(schema.listed("race", "white"), Listed::As("white"));
        assert_eq!(schema.listed("race", "korean"), Listed::Not);
    }

    #[test]
    fn the_form_decides_which_lists_apply() {
        let mut schema = full();
        schema.options.insert("race".into(), ids(&["Asian"]));
        schema.options.insert("ethrace".into(), ids(&["Korean"]));
        assert_eq!(schema.offered("race", "race", "korean"), Listed::Not);
        let lists = vec!["race".to_owned(), "ethrace".to_owned(), "unread".to_owned()];
        schema.form = Some(Form([("race".to_owned(), Field { lists, ..Field::default() })].into()));
        assert_eq!(schema.offered("race", "race", "korean"), Listed::As("Korean"));
        assert_eq!(schema.offered("race", "race", "martian"), Listed::Not);
    }

    #[test]
    fn the_forms_limit_counts_bytes_before_7_0_2_and_characters_since() {
        let mut schema = full();
        let limit = Field { length_max: Some(3), ..Field::default() };
        schema.form = Some(Form([("ss".to_owned(), limit)].into()));
        assert!(schema.too_long_for_form("ss", "김민준").unwrap().contains("takes 3 bytes in `ss`, the value has 9"));
        schema.version = Some(version(7, 0, 2));
        assert_eq!(schema.too_long_for_form("ss", "김민준"), None);
        assert!(
            schema.too_long_for_form("ss", "1234").unwrap().contains("takes 3 characters in `ss`, the value has 4")
        );
        assert_eq!(schema.too_long_for_form("city", "1234"), None);
    }

    #[test]
    fn length_counts_characters_then_bytes() {
        let mut schema = full();
        let misfit = |schema: &Schema, text: &str| schema.misfit("lname", Content::Text, text);
        assert_eq!(misfit(&schema, &"김".repeat(255)), None);
        assert_eq!(
            misfit(&schema, &"김".repeat(256)).unwrap(),
            "column `lname` takes 255 characters, the value has 256"
        );
        schema.patient.insert("lname".into(), Column { bytes_max: Some(255), ..varchar(255) });
        assert_eq!(misfit(&schema, &"김".repeat(86)).unwrap(), "column `lname` takes 255 bytes, the value has 258");
        assert!(misfit(&schema, "a\0b").unwrap().contains("NUL"));
    }

    #[test]
    fn a_character_set_decides_which_text_can_be_stored() {
        for (charset, holds, not) in [
            ("utf8mb4", "김𠮷", None),
            ("utf8mb3", "김민준", Some("𠮷")),
            ("utf8", "é", Some("😀")),
            ("latin1", "Zoë €", Some("김")),
            ("ascii", "Kim", Some("é")),
            ("euckr", "김", None),
        ] {
            let charset = Charset::named(Some(charset));
            assert!(charset.holds(holds), "{charset:?}");
            if let Some(text) = not {
                assert!(!charset.holds(text), "{charset:?}");
            }
        }
    }
}
