//! OpenEMR's demographics form, as described in `layout_options`: values that its users could not save.
//!
//! Saving that form fails with "Field ... is too long" beyond a field's `max_length`. From 7.0.2 on it also empties a
//! field whose value is not an option of its list. So a chart is written within the limits of the form. Pure;
//! `detect.rs` reads the rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The form's visible fields, by lower-case column of `patient_data`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Form(pub(crate) BTreeMap<String, Field>);

/// One field.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Field {
    /// The longest text that can be saved; `None` for any. `Schema::form_is_recent` determines the unit.
    pub(crate) length_max: Option<u64>,
    /// The lists of selectable options, the main one first; empty for a field of free text.
    pub(crate) lists: Vec<String>,
    /// Whether the form cannot be saved while the field is empty.
    pub(crate) required: bool,
}

/// A row of `layout_options`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LayoutRow<'a> {
    pub(crate) field_id: &'a str,
    pub(crate) data_type: i64,
    /// 0 unused, 1 optional, 2 required.
    pub(crate) uor: i64,
    pub(crate) max_length: i64,
    pub(crate) list_id: &'a str,
    pub(crate) list_backup_id: &'a str,
    pub(crate) edit_options: &'a str,
}

/// Data types of `layout_options` that allow only a list's options: drop-down, with a button to add, radio buttons,
/// race and ethnicity, multiple choice.
const LIST_TYPES: [i64; 8] = [1, 26, 27, 33, 36, 43, 44, 45];

/// The `edit_options` of a field that the form does not submit.
const HIDDEN: &str = "H";

impl Form {
    pub(crate) fn read<'a>(rows: impl IntoIterator<Item = LayoutRow<'a>>) -> Self {
        let shown = rows.into_iter().filter(|row| row.uor > 0 && row.edit_options != HIDDEN);
        Self(shown.map(|row| (row.field_id.to_ascii_lowercase(), Field::new(row))).collect())
    }

    pub(crate) fn field(&self, column: &str) -> Option<&Field> {
        self.0.get(&column.to_ascii_lowercase())
    }
}

impl Field {
    fn new(row: LayoutRow<'_>) -> Self {
        // The form limits lengths only of fields without a list.
        let length_max = row.list_id.is_empty().then(|| u64::try_from(row.max_length).ok()).flatten();
        let lists = [row.list_id, row.list_backup_id].into_iter().filter(|list| !list.is_empty());
        let lists = if LIST_TYPES.contains(&row.data_type) && !row.list_id.is_empty() {
            lists.map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        Self { length_max: length_max.filter(|limit| *limit > 0), lists, required: row.uor > 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(field_id: &str) -> LayoutRow<'_> {
        LayoutRow { field_id, data_type: 2, uor: 1, ..LayoutRow::default() }
    }

    #[test]
    fn text_fields_have_limits_and_list_fields_have_options() {
        let form = Form::read([
            LayoutRow { max_length: 11, ..row("ss") },
            LayoutRow { data_type: 26, max_length: 7, list_id: "state", ..row("state") },
            LayoutRow { data_type: 33, list_id: "ethnicity", list_backup_id: "ethrace", ..row("ethnicity") },
            LayoutRow { uor: 2, max_length: 63, ..row("fname") },
            LayoutRow { max_length: 9, list_id: "state", ..row("city") },
        ]);
        let field = |column| form.field(column).cloned().unwrap();
        assert_eq!(field("ss"), Field { length_max: Some(11), ..Field::default() });
        assert_eq!(field("state"), Field { lists: vec!["state".into()], ..Field::default() });
        assert_eq!(field("ethnicity").lists, ["ethnicity", "ethrace"]);
        assert!(field("fname").required);
        assert_eq!(field("city"), Field::default(), "the form compares no length where there is a list");
    }

    #[test]
    fn hidden_form_fields_are_ignored() {
        let form = Form::read([
            LayoutRow { uor: 0, max_length: 5, ..row("pubpid") },
            LayoutRow { edit_options: "H", max_length: 5, ..row("ss") },
            LayoutRow { max_length: 10, uor: 2, ..row("DOB") },
        ]);
        assert_eq!((form.field("pubpid"), form.field("ss")), (None, None));
        assert!(form.field("dob").is_some());
    }
}
