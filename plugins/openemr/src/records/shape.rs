//! The shape of a kind of record in one OpenEMR: its existing columns, and the key by which a row is found.
//!
//! Pure. It turns the values that a mapping made from a payload into the wanted record of a row.

use std::collections::BTreeMap;

use adapter_sdk::Failure;
use adapter_sdk::database::Value;

use crate::columns::{Content, OwnColumn, Record, measure};
use crate::failures::invalid;
use crate::mapping::{Mapped, Omission};
use crate::records::kinds::{Kind, Layout};
use crate::schema::{Column, Schema};

/// Values by column. A missing one becomes NULL or empty.
#[derive(Clone, Default)]
pub(crate) struct Values(BTreeMap<&'static str, String>);

impl Values {
    pub(crate) fn set(&mut self, column: &'static str, value: impl Into<String>) {
        self.0.insert(column, value.into());
    }

    pub(crate) fn set_if(&mut self, column: &'static str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.set(column, value);
        }
    }
}

/// A kind of record in one OpenEMR.
pub(crate) struct Shape<'a> {
    pub(crate) kind: Kind,
    pub(crate) layout: &'static Layout,
    /// The owned columns that exist: those of the kind's table, then those of its row in `forms`.
    pub(crate) columns: Vec<OwnColumn>,
    /// How many of them belong to the kind's table.
    pub(crate) of_table: usize,
    /// Whether rows are found by uuid; otherwise by the marker.
    pub(crate) has_uuid: bool,
    table: &'a BTreeMap<String, Column>,
    forms: &'a BTreeMap<String, Column>,
    schema: &'a Schema,
}

impl<'a> Shape<'a> {
    /// The shape of a kind.
    ///
    /// # Errors
    /// The missing tables and columns, as `table` or `table.column`.
    pub(crate) fn new(kind: Kind, schema: &'a Schema) -> Result<Self, Vec<String>> {
        let layout = kind.layout();
        let missing: Vec<String> =
            tables(kind).into_iter().filter(|table| !schema.records.contains_key(*table)).map(str::to_owned).collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let table = &schema.records[layout.table];
        let forms = layout.form.as_ref().map_or(table, |_| &schema.records["forms"]);
        let of_form = layout.form.as_ref().map_or(&[][..], |form| form.columns);
        let mut missing = Vec::new();
        let mut columns = Vec::new();
        for (name, there, own) in [(layout.table, table, layout.columns), ("forms", forms, of_form)] {
            for column in own {
                match there.get(&column.name.to_ascii_lowercase()) {
                    Some(found) => columns.push(with_decimals(*column, found)),
                    None if column.required => missing.push(format!("{name}.{}", column.name)),
                    None => {}
                }
            }
        }
        let of_table = columns.len().saturating_sub(of_form.len());
        let has_uuid = table.contains_key("uuid");
        let keys = [layout.id, layout.remote_id, if has_uuid { "uuid" } else { layout.marker }];
        let lacks = |name: &&str| !table.contains_key(&name.to_ascii_lowercase());
        missing.extend(keys.iter().filter(|name| lacks(name)).map(|name| format!("{}.{name}", layout.table)));
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok(Self { kind, layout, columns, of_table, has_uuid, table, forms, schema })
    }

    pub(crate) fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// A column of the kind's table, by its name in any case.
    pub(crate) fn column(&self, name: &str) -> Option<&'a Column> {
        self.table.get(&name.to_ascii_lowercase())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.column(name).is_some()
    }

    /// Whether rows have our marker, or had it before the table had uuids.
    pub(crate) fn has_marker(&self) -> bool {
        self.has(self.layout.marker)
    }

    /// The owned columns of the kind's table.
    pub(crate) fn table_columns(&self) -> &[OwnColumn] {
        &self.columns[..self.of_table]
    }

    /// The owned columns of its row in `forms`.
    pub(crate) fn form_columns(&self) -> &[OwnColumn] {
        &self.columns[self.of_table..]
    }

    /// The columns without NULL and default that our INSERT would leave out.
    pub(crate) fn demanding_columns(&self, written: &[&str]) -> Vec<String> {
        self.table
            .iter()
            .filter(|(name, column)| !column.nullable && !column.has_default && *name != self.layout.id)
            .filter(|(name, _)| !written.iter().any(|written| written.eq_ignore_ascii_case(name)))
            .map(|(name, _)| format!("{}.{name}", self.layout.table))
            .collect()
    }

    /// The wanted record of a row.
    ///
    /// # Errors
    /// `invalid`, with the column and never a value, when a value does not fit a column that must not be empty.
    pub(crate) fn mapped(&self, values: &Values) -> Result<Mapped, Failure> {
        let mut omissions = Vec::new();
        let mut record = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let mut value = values.0.get(column.name).cloned().filter(|text| !text.is_empty());
            if let Content::Measure(decimals) = column.content {
                value = value.and_then(|text| measure(text.parse().ok()?, decimals));
            }
            let misfit = value.as_ref().and_then(|text| self.own(at)?.misfit(column.name, column.content, text));
            match misfit {
                Some(why) if column.required => return Err(invalid(why)),
                Some(why) => {
                    omissions.push(Omission { column: column.name, why });
                    record.push(None);
                }
                None => record.push(value),
            }
        }
        let record = Record(record);
        Ok(Mapped { after_form: record.clone(), record, omissions })
    }

    /// The record after OpenEMR hides it.
    pub(crate) fn hidden(&self, present: &Record) -> Mapped {
        let (column, value) = self.layout.deletion;
        let mut record = present.clone();
        for (own, content) in self.columns.iter().zip(&mut record.0) {
            if own.name == column {
                *content = Some(value.to_owned());
            }
        }
        Mapped { after_form: record.clone(), record, omissions: Vec::new() }
    }

    /// Appends the values of the owned columns from `from` to `to` as parameters.
    pub(crate) fn push(&self, record: &Record, from: usize, to: usize, parameters: &mut Vec<Value>) {
        for at in from..to {
            parameters.push(match &record.0[at] {
                Some(text) => Value::from(text.as_str()),
                None if self.columns[at].content.is_text() && self.own(at).is_some_and(|found| !found.nullable) => {
                    Value::from("")
                }
                None => Value::Null,
            });
        }
    }

    /// The database's description of an owned column.
    pub(crate) fn own(&self, at: usize) -> Option<&'a Column> {
        let table = if at < self.of_table { self.table } else { self.forms };
        table.get(&self.columns[at].name.to_ascii_lowercase())
    }
}

/// The tables that a kind needs.
pub(crate) fn tables(kind: Kind) -> Vec<&'static str> {
    let mut tables = vec![kind.layout().table];
    if kind.layout().form.is_some() {
        tables.push("forms");
    }
    if kind.layout().list_type.is_some() {
        tables.extend(["issue_encounter", "lists_touch"]);
    }
    if kind == Kind::Encounter {
        tables.push("sequences");
    }
    tables
}

fn with_decimals(column: OwnColumn, found: &Column) -> OwnColumn {
    match (column.content, found.decimals) {
        (Content::Measure(_), Some(decimals)) => OwnColumn { content: Content::Measure(decimals), ..column },
        _ => column,
    }
}
