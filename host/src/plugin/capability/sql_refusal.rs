//! Why a statement did not reach the database: one closed set, so that what the adapter and the operator read names the
//! table and the setting.

use crate::database::{DatabaseError, ErrorKind};
use crate::domain::grants::{PRESETS, TableVerb};

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
    /// As the adapter gets it: the table as its object, and the fix in the message. A table that the operator has not
    /// granted is `permission-denied`, as if the database's own grants lacked it: no patient is to blame, and
    /// everything waits until the line is there. What no setting allows is `refused`.
    pub(in crate::plugin) fn into_error(self, target: &str, adapter: &str) -> DatabaseError {
        let mut message = self.words(target);
        if let (Self::NotGranted { .. }, Some(preset)) = (&self, PRESETS.iter().find(|name| **name == adapter)) {
            message = format!("{message} (preset = \"{preset}\" grants all that the bundled adapter needs)");
        }
        let (kind, object) = match self {
            Self::NotGranted { table, .. } => (ErrorKind::PermissionDenied, Some(table)),
            Self::OutOfReach { name, .. } => (ErrorKind::Refused, Some(name)),
            Self::Statement(_) => (ErrorKind::Refused, None),
        };
        DatabaseError { object, ..DatabaseError::new(kind, message) }
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
                format!(
                    "table `{table}` may not be {done}: add it to [targets.{target}.database.allow] in host.toml: \
                     {verb} = [\"{table}\"]"
                )
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
        let error = refusal.clone().into_error("clinic", "mine");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "it is misconfigured, and no patient fails for it");
        assert_eq!(error.object.as_deref(), Some("users"));
        assert_eq!(
            error.message,
            "table `users` may not be deleted from: add it to [targets.clinic.database.allow] in host.toml: \
             delete = [\"users\"]"
        );
        let bundled = refusal.into_error("clinic", "openemr").message;
        assert!(bundled.starts_with(&error.message) && bundled.contains("preset = \"openemr\""), "{bundled}");
    }

    #[test]
    fn a_refusal_that_no_setting_lifts_names_no_setting() {
        let refusal = Refusal::OutOfReach { name: "mysql.user".to_owned(), why: "lies elsewhere" };
        let error = refusal.into_error("t", "openemr");
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Refused, "`mysql.user` lies elsewhere"));
    }
}
