//! Maps the columns and values of a CSV file to fields of a patient.
//!
//! A column with the name of a field needs no mapping. A header that does not fit is refused before the first patient,
//! because a column that was forgotten would go unnoticed. No message repeats a name of the header: in a file without a
//! header the first line is a patient.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;
use toml::de::DeValue;

use super::draft::{Draft, Problem, problem};
use crate::domain::patient::PatientDraft;
use crate::domain::words::one_of;
use crate::spanned_toml::{FileProblems, Findings, Section, SpannedToml};

/// The mapping of columns and values. By default a column maps to the field of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap {
    /// The field of each column, by the column's name in lower case. `None` ignores the column.
    columns: BTreeMap<String, Option<&'static str>>,
    /// The translations of values, by field.
    values: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Texts that stand for an empty cell, in every column.
    absent: Vec<String>,
    /// The `strftime` format of dates; `None` means `YYYY-MM-DD`.
    date_format: Option<String>,
    ignore_other_columns: bool,
}

/// The field of each column, in the header's order.
#[derive(Clone, Debug)]
pub(super) struct Header {
    fields: Vec<Option<&'static str>>,
}

/// The most columns that one message lists.
const COLUMN_PROBLEMS_MAX: usize = 10;

const REQUIRED: [&str; 5] = ["patient_id", "family_name", "given_name", "birth_date", "gender"];

fn field(name: &str) -> Option<&'static str> {
    PatientDraft::FIELDS.iter().copied().find(|field| *field == name)
}

impl ColumnMap {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn read(path: &Path) -> Result<Self, FileProblems> {
        let document = SpannedToml::read(path)?;
        let findings = Findings::new(path);
        let table = document.parse(&findings);
        let mut root = Section::root(&document, &findings, &table);
        let mut map = Self::default();
        if let Some(columns) = root.section("columns") {
            for (name, text) in texts(&columns) {
                if let Err(message) = map.add_column(&name, &text) {
                    columns.note_key(&name, message);
                }
            }
        }
        if let Some(values) = root.section("values") {
            for (name, section) in values.named_sections() {
                match field(&name.value) {
                    Some(field) => drop(map.values.insert(field, texts(&section).into_iter().collect())),
                    None => values.note_key(&name.value, "is not a field of a patient"),
                }
            }
        }
        map.absent = root.texts("absent").unwrap_or_default().into_iter().map(|entry| entry.value).collect();
        map.date_format = root.text("date_format").map(|entry| entry.value);
        if let Some(format) = &map.date_format
            && !is_date_format(format)
        {
            root.note_key("date_format", "is not a format such as %d.%m.%Y; the year must have four digits (%Y): with two, the century of a birth would be guessed");
        }
        root.finish(&[]);
        findings.into_result(map)
    }

    /// Adds `THEIR HEADER=our_field`. Without a field after the `=`, the column is ignored.
    ///
    /// # Errors
    /// When the text is not such a mapping.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (name, field) = text.rsplit_once('=').ok_or("write it \"THEIR HEADER=our_field\"")?;
        self.add_column(name, field)
    }

    /// Ignores columns that are not mapped.
    pub fn ignore_other_columns(&mut self) {
        self.ignore_other_columns = true;
    }

    fn add_column(&mut self, name: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        let field = match (text, field(text)) {
            ("", _) => None,
            (_, Some(field)) => Some(field),
            (_, None) => return Err(format!("the field must be one of {}", one_of(PatientDraft::FIELDS))),
        };
        match self.columns.insert(key(name), field) {
            None => Ok(()),
            Some(_) => Err("the same header is mapped twice".to_owned()),
        }
    }

    /// Maps a header.
    ///
    /// # Errors
    /// The problems of the header, without its names. Only the first columns that do not fit are listed.
    pub(super) fn header<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Result<Header, Vec<String>> {
        let mut problems = Vec::new();
        let mut fields: Vec<Option<&'static str>> = Vec::new();
        let mut found = Vec::new();
        for (index, name) in names.enumerate() {
            let name = key(&String::from_utf8_lossy(name));
            found.push(name.clone());
            let mapped = self.columns.get(&name).copied();
            let column = match mapped.or_else(|| field(&name.replace([' ', '-'], "_")).map(Some)) {
                Some(column) => column,
                None if self.ignore_other_columns => None,
                None => {
                    let fix = "add --map \"ITS NAME=our_field\", or --ignore-other-columns";
                    problems.push(format!("column {} is not a field of a patient; fix: {fix}", index + 1));
                    None
                }
            };
            if column.is_some() && fields.contains(&column) {
                problems.push(format!("column {} has a field that another column has", index + 1));
            }
            fields.push(column);
        }
        if problems.len() > COLUMN_PROBLEMS_MAX {
            let others = problems.split_off(COLUMN_PROBLEMS_MAX).len();
            problems.push(format!("{others} other columns do not fit either"));
        }
        for required in REQUIRED.iter().filter(|required| !fields.contains(&Some(**required))) {
            problems.push(format!("no column is {required}"));
        }
        let mut missing: Vec<_> = self.columns.keys().filter(|name| !found.contains(name)).collect();
        missing.sort();
        // The missing names come from the operator's mapping, not from the file, so they can be shown.
        problems.extend(missing.iter().map(|name| format!("there is no column `{name}`, which is mapped")));
        if problems.is_empty() { Ok(Header { fields }) } else { Err(problems) }
    }

    /// Reads the draft of one record.
    ///
    /// # Errors
    /// The problem of the record as a whole.
    pub(super) fn draft<'a>(
        &self,
        header: &Header,
        values: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Draft, Vec<Problem>> {
        if values.len() != header.fields.len() {
            let message = format!("has {} fields, the header has {}", values.len(), header.fields.len());
            return Err(vec![problem("record", message)]);
        }
        let mut draft = Draft::default();
        for (field, value) in header.fields.iter().zip(values) {
            let Some(field) = field else { continue };
            let Ok(text) = std::str::from_utf8(value) else {
                let found = problem(field, "is not UTF-8");
                if REQUIRED.contains(field) {
                    return Err(vec![found]);
                }
                draft.left_out.push(found);
                continue;
            };
            let place = draft.patient.field_mut(field).expect("invariant: a header names only fields");
            *place = self.value(field, text);
        }
        Ok(draft)
    }

    /// Translates the values of a draft.
    pub(super) fn translate(&self, draft: &mut PatientDraft) {
        if self.values.is_empty() && self.absent.is_empty() {
            return;
        }
        for field in PatientDraft::FIELDS {
            let place = draft.field_mut(field).expect("invariant: FIELDS lists the fields");
            *place = place.take().and_then(|text| self.value(field, &text));
        }
    }

    /// Whether the mapping contains translations of values only.
    #[must_use]
    pub fn is_of_values_alone(&self) -> bool {
        self.columns.is_empty() && self.date_format.is_none()
    }

    /// Translates a value; `None` for a text that stands for an empty cell. A value without a translation is unchanged,
    /// and the field's rules check it later.
    fn value(&self, field: &str, text: &str) -> Option<String> {
        let text = text.trim();
        let ours = self.values.get(field).and_then(|values| values.get(text));
        if ours.is_none() && self.absent.iter().any(|absent| absent == text) {
            return None;
        }
        let value = ours.cloned().unwrap_or_else(|| self.date(field, text));
        Some(value).filter(|value| !value.trim().is_empty())
    }

    fn date(&self, field: &str, text: &str) -> String {
        if let (Some(format), true) = (&self.date_format, field.ends_with("_date"))
            && let Ok(date) = Date::strptime(format, text)
        {
            return date.to_string();
        }
        text.to_owned()
    }
}

/// Whether the format can write and read back dates of every century. A year of two digits cannot.
fn is_date_format(format: &str) -> bool {
    [1899, 1931, 1968, 2001, 2031].into_iter().all(|year| {
        let date = Date::constant(year, 12, 31);
        let written = jiff::fmt::strtime::format(format, date);
        written.is_ok_and(|text| Date::strptime(format, text).is_ok_and(|read| read == date))
    })
}

/// The name of a column, regardless of case and punctuation.
fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The string values of a table. Other types are reported.
fn texts(section: &Section<'_>) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (key, value) in section.raw() {
        let name: &str = AsRef::<str>::as_ref(key.get_ref());
        match value.get_ref() {
            DeValue::String(text) => texts.push((name.to_owned(), text.to_string())),
            _ => section.note_key(name, "must be a string"),
        }
    }
    texts
}
