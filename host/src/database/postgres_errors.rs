//! The meaning of each error of PostgreSQL, with our own message.
//!
//! Neither message, detail, hint nor context is repeated: RAISE lets a function write anything there, and set any
//! SQLSTATE, column or constraint. The source file of an error shows whether it comes from the server itself.

use super::ErrorKind::{self, Contention, DuplicateKey, InvalidValue, MissingObject, Other, Rejected, Unavailable};
use super::names::{between, identifier, named_in};
use super::sqlstate::{self, REFUSED_BY_ROUTINE};

/// States, or classes of two characters, with their meaning and our message; the first match counts. Other states are
/// in `sqlstate.rs`.
#[rustfmt::skip]
const ERRORS: &[(&str, ErrorKind, &str)] = &[
    ("08P01", Unavailable, "the connection broke: a protocol error"),
    ("22001", InvalidValue, "a value is too long for its column"),
    ("22003", InvalidValue, "a number is out of its column's range"),
    ("22007", InvalidValue, "a value is not a date or time"),
    ("22008", InvalidValue, "a date or time is out of range"),
    ("22021", InvalidValue, "a text has a character that the database does not take"),
    ("22P02", InvalidValue, "a value is not of its column's type"),
    ("22P05", InvalidValue, "a text has a character that the database does not take"),
    ("23502", InvalidValue, "a column takes no NULL"),
    ("23503", InvalidValue, "a foreign key refuses the row"),
    ("23505", DuplicateKey, "a unique key has this value already"),
    ("23514", InvalidValue, "a CHECK of the table refuses the row"),
    ("23P01", InvalidValue, "an exclusion constraint refuses the row"),
    ("25P02", Other, "an earlier statement ended the transaction"),
    ("25P03", Unavailable, "the server closed the idle transaction"),
    ("25P04", Unavailable, "the transaction took longer than it may"),
    ("26000", Rejected, "prepared statements are lost: a connection pooler must pool whole sessions"),
    ("40001", Contention, "the server rolled the transaction back: another one was first"),
    ("40P01", Contention, "a deadlock"),
    ("42P01", MissingObject, "a table is missing"),
    ("42P05", Rejected, "prepared statements are mixed up: a connection pooler must pool whole sessions"),
    ("42703", MissingObject, "a column is missing"),
    ("42704", MissingObject, "something that the statement names is missing"),
    ("42883", MissingObject, "a function or operator is missing"),
    ("53100", Unavailable, "the server's disk is full"),
    ("53200", Unavailable, "the server is out of memory"),
    ("53300", Unavailable, "the server has too many connections"),
    ("53400", Unavailable, "a limit of the server's configuration is used up"),
    ("54000", InvalidValue, "a value or row is too large for the table or its index"),
    ("55006", Contention, "the table is in use"),
    ("55P03", Contention, "a lock was not free in time"),
    ("57014", Unavailable, "the statement took longer than it may, or was cancelled"),
    ("57P01", Unavailable, "the server is shutting down"),
    ("57P02", Unavailable, "the server crashed and is restarting"),
    ("57P03", Unavailable, "the server is starting or shutting down"),
    ("57P04", Unavailable, "the database was dropped"),
    ("57P05", Unavailable, "the server closed the idle connection"),
    ("58030", Unavailable, "the server cannot read or write its files"),
    ("72", Contention, "the snapshot is too old"),
    ("F0", Unavailable, "the server's configuration is in error"),
    ("P0", InvalidValue, REFUSED_BY_ROUTINE),
    ("XX001", Unavailable, "data at the server are damaged"),
    ("XX002", Unavailable, "an index at the server is damaged"),
];

/// Source files of the server whose errors name a constraint or column of the catalogue.
const FILES_THAT_NAME: [&str; 6] =
    ["nbtinsert.c", "execMain.c", "execIndexing.c", "ri_triggers.c", "execExprInterp.c", "domains.c"];

/// The fields of an error.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'a> {
    pub(super) state: &'a str,
    pub(super) sentence: &'a str,
    pub(super) constraint: Option<&'a str>,
    pub(super) column: Option<&'a str>,
    /// The server's source file and function that it comes from.
    pub(super) file: Option<&'a str>,
    pub(super) routine: Option<&'a str>,
}

/// The meaning of an error, and our message.
pub(super) fn judge(said: Said<'_>) -> (ErrorKind, &'static str) {
    // RAISE: a function of the database refuses the row, with any SQLSTATE.
    if said.routine == Some("exec_stmt_raise") {
        return (InvalidValue, REFUSED_BY_ROUTINE);
    }
    if said.state == "0A000" && said.routine == Some("RevalidateCachedQuery") {
        return (Contention, "the table was altered meanwhile");
    }
    let known = ERRORS.iter().find(|(start, ..)| said.state.starts_with(start));
    known.map_or_else(|| sqlstate::judge(said.state), |(_, kind, words)| (*kind, *words))
}

/// The constraint, column or table that an error is about, where the server itself names it.
pub(super) fn object(said: Said<'_>, statement: &str) -> Option<String> {
    if said.file.is_some_and(|file| FILES_THAT_NAME.contains(&file)) {
        return identifier(said.constraint.or(said.column)?);
    }
    let name = match said.state {
        "42P01" => between(said.sentence, "relation \"", "\" does not exist"),
        "42703" => {
            between(said.sentence, "column \"", "\" ").or_else(|| between(said.sentence, "column ", " does not"))
        }
        "42501" => said.sentence.strip_prefix("permission denied for ")?.split_once(' ').map(|(_, name)| name),
        _ => None,
    };
    named_in(statement, name?)
}

/// Whether a trigger may have met it: a table, a column or a right on a table is missing, or a policy refuses the row.
/// The rights on a sequence are those of a column's default, in every row.
pub(super) fn may_be_of_routine(said: Said<'_>) -> bool {
    matches!(said.state, "42P01" | "42703") || said.state == "42501" && !said.sentence.contains("for sequence ")
}

#[cfg(test)]
mod tests {
    use super::ErrorKind::PermissionDenied;
    use super::*;

    fn state(state: &str) -> ErrorKind {
        judge(Said { state, ..Said::default() }).0
    }

    #[test]
    fn trigger_errors_are_distinguished_from_missing_sequence_rights() {
        for (state, sentence, may_be) in [
            ("42P01", "relation \"audit\" does not exist", true),
            ("42703", "record \"new\" has no field \"x\"", true),
            ("42501", "permission denied for table audit", true),
            ("42501", "new row violates row-level security policy for table \"patient_data\"", true),
            ("42501", "permission denied for sequence patient_data_id_seq", false),
            ("25006", "cannot execute INSERT in a read-only transaction", false),
            ("42883", "operator does not exist: text = integer", false),
        ] {
            assert_eq!(may_be_of_routine(Said { state, sentence, ..Said::default() }), may_be, "{sentence}");
        }
    }

    #[test]
    fn every_sqlstate_entry_is_reachable_and_has_a_message() {
        for (index, (start, kind, words)) in ERRORS.iter().enumerate() {
            assert!(
                !ERRORS[..index].iter().any(|(earlier, ..)| start.starts_with(earlier)),
                "{start} is never reached"
            );
            assert!(!words.is_empty() && !words.ends_with('.'), "{start}");
            assert_eq!(state(start), *kind, "{start}");
        }
    }

    /// Every class of the manual's appendix.
    #[test]
    fn each_sqlstate_class_maps_to_its_kind() {
        for (states, kind) in [
            (&["08000", "08001", "08003", "08004", "08006", "08P01"][..], Unavailable),
            (&["53000", "53100", "53200", "53300", "53400"], Unavailable),
            (&["57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05"], Unavailable),
            (&["58000", "58030", "58P01", "58P02", "58P03", "F0000", "XX001", "XX002", "25P03"], Unavailable),
            (&["25006", "42501"], PermissionDenied),
            (&["28000", "28P01", "3D000", "26000", "42P05"], Rejected),
            (&["40000", "40001", "40P01", "55P03", "55006", "72000"], Contention),
            (&["23505"], DuplicateKey),
            (&["22000", "22001", "22003", "22021", "22P02", "23000", "23502", "23503", "23514", "23P01"], InvalidValue),
            (&["40002", "44000", "54000", "09000", "P0000", "P0001", "P0002", "P0003", "P0004"], InvalidValue),
            (&["42P01", "42703", "42883", "42704", "3F000"], MissingObject),
            (&["42601", "42804", "0A000", "25P02", "XX000", "HV000", "ABCDE", ""], Other),
        ] {
            for state in states {
                assert_eq!(super::judge(Said { state, ..Said::default() }).0, kind, "{state}");
            }
        }
    }

    /// Classes of errors that speak of a statement, a cursor or a definition, as the host never sends one, or as every
    /// attempt would meet it again: they are that change's own failure. (No class of the server's state is here.)
    const OF_THE_STATEMENT: &[&str] = &[
        "03", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21", "24", "25", "26", "27", "2B", "2D", "2F", "34", "38",
        "39", "3B", "42", "54", "55", "HV", "XX",
    ];

    /// Against the server's own list, which comes with it.
    #[test]
    fn every_sqlstate_that_postgres_lists_is_classified() {
        let lists = std::fs::read_dir("/usr/share/postgresql").into_iter().flatten().flatten();
        let lists: Vec<_> =
            lists.filter_map(|folder| std::fs::read_to_string(folder.path().join("errcodes.txt")).ok()).collect();
        if lists.is_empty() {
            assert!(std::env::var_os("CI").is_none(), "errcodes.txt of PostgreSQL is not where Debian has it");
            return;
        }
        for line in lists.iter().flat_map(|list| list.lines()) {
            let mut words = line.split_whitespace();
            let (Some(state), Some("E")) = (words.next(), words.next()) else { continue };
            let is_judged = ERRORS.iter().any(|(start, ..)| state.starts_with(start))
                || sqlstate::judge(state).1 != sqlstate::judge("").1;
            assert!(is_judged || OF_THE_STATEMENT.contains(&&state[..2]), "{line}");
        }
    }

    #[test]
    fn an_error_raised_by_a_trigger_is_an_invalid_value_with_any_sqlstate() {
        for state in ["P0001", "23505", "53100", "40001", "42501", "ABCDE"] {
            let said = Said { state, routine: Some("exec_stmt_raise"), file: Some("pl_exec.c"), ..Said::default() };
            assert_eq!(judge(said).0, InvalidValue, "{state}");
        }
    }

    #[test]
    fn only_names_from_the_servers_own_error_fields_are_shown() {
        let insert = "INSERT INTO patient (pid) VALUES ($1)";
        let unique =
            Said { state: "23505", constraint: Some("patient_pid_key"), file: Some("nbtinsert.c"), ..Said::default() };
        assert_eq!(object(unique, insert).as_deref(), Some("patient_pid_key"));
        let raised = Said { file: Some("pl_exec.c"), constraint: Some("Kim"), column: Some("Kim"), ..unique };
        assert_eq!(object(raised, insert), None);
        assert_eq!(object(Said { constraint: Some("Kim 1980-03-15"), ..unique }, insert), None);
        for (state, sentence, expected) in [
            ("42P01", "relation \"patient\" does not exist", Some("patient")),
            ("42P01", "relation \"kim\" does not exist", None),
            ("42703", "column \"pid\" of relation \"patient\" does not exist", Some("pid")),
            ("42703", "column p.pid does not exist", Some("pid")),
            ("42501", "permission denied for table patient", Some("patient")),
            ("22P02", "invalid input syntax for type integer: \"pid\"", None),
        ] {
            assert_eq!(object(Said { state, sentence, ..Said::default() }, insert).as_deref(), expected, "{sentence}");
        }
    }
}
