//! The text of a field, as in a payload and in a text column.

use std::borrow::Cow;

use crate::{Day, Gender, MaritalStatus, PatientId};

/// Converts a field's value to the text that its JSON has.
pub(crate) trait FieldText {
    /// The text.
    fn text(&self) -> Cow<'_, str>;
}

impl FieldText for String {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl FieldText for PatientId {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
}

impl FieldText for Gender {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
}

impl FieldText for MaritalStatus {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
}

impl FieldText for Day {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
}
