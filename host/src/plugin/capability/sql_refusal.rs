//! Why a statement did not reach the database: one closed set, so that what the adapter and the operator read names the
//! table and the setting.

use crate::database::{DatabaseError, ErrorKind};
use crate::domain::grants::TableVerb;

/// Why a statement was refused. Never holds a literal of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Refusal {
    /// A table of the target's own that the operator has not granted for this.
    NotGranted { table: String, verb: TableVerb },
    /// A table or a routine of another schema, or of the database itself: no setting grants it.
    OutOfReach { name: String, why: &'static str },
    /// What the statement is, in words.
    Statement(String),
}

/// Short for what nearly every step of the guard gives.
pub(super) type Verdict<T = ()> = Result<T, Refusal>;

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Statement(words)
    }
}

impl From<&str> for Refusal {
    fn from(words: &str) -> Self {
        Self::Statement(words.to_owned())
    }
}

impl Refusal {
    /// As the adapter gets it: kind `refused`, the table as its object, and the mend in the message.
    pub(super) fn into_error(self, target: &str) -> DatabaseError {
        let message = self.words(target);
        let object = match self {
            Self::NotGranted { table, .. } => Some(table),
            Self::OutOfReach { name, .. } => Some(name),
            Self::Statement(_) => None,
        };
        DatabaseError { object, ..DatabaseError::new(ErrorKind::Refused, message) }
    }

    #[cfg(test)]
    pub(super) fn says(&self, part: &str) -> bool {
        self.words("t").contains(part)
    }

    fn words(&self, target: &str) -> String {
        match self {
            Self::NotGranted { table, verb } => {
                let done = match verb {
                    TableVerb::Read => "read",
                    TableVerb::Insert => "inserted into",
                    TableVerb::Update => "updated",
                    TableVerb::Delete => "deleted from",
                };
                format!("table `{table}` may not be {done}: [targets.{target}.database.allow] {verb} does not name it")
            }
            Self::OutOfReach { name, why } => format!("`{name}` {why}"),
            Self::Statement(words) => words.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_not_granted_is_named_with_its_setting() {
        let refusal = Refusal::NotGranted { table: "users".to_owned(), verb: TableVerb::Delete };
        let error = refusal.into_error("openemr");
        assert_eq!(error.kind, ErrorKind::Refused);
        assert_eq!(error.object.as_deref(), Some("users"));
        assert_eq!(
            error.message,
            "table `users` may not be deleted from: [targets.openemr.database.allow] delete does not name it"
        );
    }

    #[test]
    fn what_no_setting_grants_names_none() {
        let refusal = Refusal::OutOfReach { name: "mysql.user".to_owned(), why: "lies elsewhere" };
        assert_eq!(refusal.into_error("t").message, "`mysql.user` lies elsewhere");
    }
}
