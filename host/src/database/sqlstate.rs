//! The meaning of an error by its SQLSTATE alone, for numbers that are in no other table.

use super::ErrorKind::{
    self, Contention, DuplicateKey, InvalidValue, MissingObject, Other, PermissionDenied, Rejected, Unavailable,
};

/// What is said of a row that a trigger or routine refuses. The rule's own words may hold the row.
pub(super) const REFUSED_BY_ROUTINE: &str = "a trigger or routine of the database refuses the row; fix: correct what \
     it checks, or the rule, then `host retry`";

/// States, or classes of two characters, with their meaning and our words. The first that fits counts.
#[rustfmt::skip]
const STATES: &[(&str, ErrorKind, &str)] = &[
    ("08", Unavailable, "the connection failed"),
    ("09", InvalidValue, REFUSED_BY_ROUTINE),
    ("22", InvalidValue, "a value does not fit its column"),
    ("23505", DuplicateKey, "a unique key has this value already"),
    ("23", InvalidValue, "a constraint of the table refuses the row"),
    ("25006", PermissionDenied, "the database takes no writes: it is read-only, a replica for example"),
    ("28", Rejected, "the user or the password is wrong, or the user may not come from this machine"),
    ("3D", Rejected, "there is no such database"),
    ("3F", MissingObject, "a schema is missing"),
    ("40002", InvalidValue, "a constraint of the table refuses the row"),
    ("40003", Unavailable, "it is unknown whether the statement completed"),
    ("40", Contention, "the server rolled the transaction back"),
    ("42501", PermissionDenied, "the database user may not do this"),
    ("42S02", MissingObject, "a table is missing"),
    ("42S22", MissingObject, "a column is missing"),
    ("44", InvalidValue, "a view's CHECK OPTION refuses the row"),
    ("45", InvalidValue, REFUSED_BY_ROUTINE),
    ("53", Unavailable, "the server has no room, memory or connection left"),
    ("57", Unavailable, "the server is being stopped or stopped the statement"),
    ("58", Unavailable, "the server failed with its files"),
    ("70100", Unavailable, "the statement was interrupted at the server"),
    ("HY001", Unavailable, "the server is out of memory"),
];

/// The meaning of a state, and our message.
pub(super) fn judge(state: &str) -> (ErrorKind, &'static str) {
    STATES
        .iter()
        .find(|(start, ..)| state.starts_with(start))
        .map_or((Other, "the database refused the statement"), |(_, kind, words)| (*kind, *words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_sqlstate_takes_precedence_over_its_class() {
        for (index, (state, ..)) in STATES.iter().enumerate() {
            let shadowed = STATES[..index].iter().any(|(earlier, ..)| state.starts_with(earlier));
            assert!(!shadowed, "{state} is never reached");
        }
        assert_eq!(judge("23505").0, DuplicateKey);
        assert_eq!(judge("23514").0, InvalidValue);
        assert_eq!(judge("").0, Other);
        assert_eq!(judge("99999").0, Other);
    }
}
