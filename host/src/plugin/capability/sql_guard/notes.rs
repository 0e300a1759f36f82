//! Notes of the writer of templates: which value of a statement is for which column (`parts.rs`).

/// A value of a statement.
#[derive(Clone, PartialEq, Eq)]
pub struct Slot {
    /// The column that it is for or is compared with, if that can be seen.
    pub column: Option<String>,
    /// Whether it is written into that column; otherwise it is in a condition.
    pub is_written: bool,
    /// The value in the text; `None` for a parameter.
    pub literal: Option<String>,
}

/// What the writer has noted so far.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) columns: Vec<String>,
    pub(super) slots: Vec<Slot>,
    /// The columns that the rows of an INSERT are for.
    pub(super) row: Vec<String>,
    /// The column that is written, or that was last named in a condition.
    pub(super) column: Option<String>,
    pub(super) is_written: bool,
}

impl Notes {
    pub(super) fn value(&mut self, literal: Option<String>) {
        self.slots.push(Slot { column: self.column.clone(), is_written: self.is_written, literal });
    }

    /// A column was named. What is compared with it follows.
    pub(super) fn named(&mut self, column: &str) {
        if !self.is_written {
            self.column = Some(column.to_owned());
        }
    }

    /// What follows is written into this column, or into one that cannot be seen.
    pub(super) fn begin_column(&mut self, column: Option<&String>) {
        let column = column.filter(|column| !column.is_empty()).cloned();
        if let Some(column) = &column
            && !self.columns.contains(column)
        {
            self.columns.push(column.clone());
        }
        (self.column, self.is_written) = (column, true);
    }

    pub(super) fn end_column(&mut self) {
        (self.column, self.is_written) = (None, false);
    }
}
