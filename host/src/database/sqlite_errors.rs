//! The meaning of each result code of SQLite, with our own message.
//!
//! SQLite's text is never repeated, because `RAISE()` and a CHECK can contain anything. Only names in SQLite's own
//! messages, which the extended code identifies, are extracted (`names.rs`).

use super::ErrorKind::{
    self, Contention, DuplicateKey, InvalidValue, MissingObject, Other, PermissionDenied, Rejected, Unavailable,
};
use super::names::{identifier, named_in};
use super::sqlstate::REFUSED_BY_ROUTINE;

/// Primary codes (the low byte) with their meaning and our words.
#[rustfmt::skip]
const CODES: &[(i32, ErrorKind, &str)] = &[
    (1, Other, "SQLite refused the statement"),
    (2, Other, "SQLite met an internal error"),
    (3, PermissionDenied, "the file may not be opened like this"),
    (4, Other, "the statement was aborted"),
    (5, Contention, "the database is busy"),
    (6, Contention, "a table is locked"),
    (7, Unavailable, "out of memory"),
    (8, PermissionDenied, "the file may not be written: it is read-only"),
    (9, Unavailable, "the statement was interrupted"),
    (10, Unavailable, "the file cannot be read or written: an error of the disk"),
    (11, Rejected, "the file is damaged"),
    (12, Other, "SQLite does not find something"),
    (13, Unavailable, "the disk is full"),
    (14, Unavailable, "unable to open the database file"),
    (15, Contention, "the file's locks are contended"),
    (16, Other, "SQLite met an internal error"),
    (17, Contention, "the tables were altered meanwhile"),
    (18, InvalidValue, "a value or row is too large"),
    (19, InvalidValue, "a constraint of the table refuses the row"),
    (20, InvalidValue, "a value is not of its column's type"),
    (21, Other, "SQLite was called wrongly"),
    (22, Unavailable, "the system takes no file of this size"),
    (23, PermissionDenied, "the statement is not authorised"),
    (24, Rejected, "the file is not a SQLite database"),
    (25, Other, "the statement has too many parameters"),
    (26, Rejected, "the file is not a SQLite database"),
    (27, Other, "SQLite gave a notice"),
    (28, Other, "SQLite gave a warning"),
];

/// Extended codes that mean something else than their primary one, or say more.
#[rustfmt::skip]
const EXTENDED: &[(i32, ErrorKind, &str)] = &[
    (275, InvalidValue, "a CHECK of the table refuses the row"),
    (513, Contention, "SQLite asks to try again"),
    (516, Contention, "the transaction was rolled back meanwhile"),
    (769, Contention, "the snapshot is too old"),
    (787, InvalidValue, "a foreign key refuses the row"),
    (1032, Unavailable, "the file was moved away"),
    (1299, InvalidValue, "a column takes no NULL"),
    (1544, PermissionDenied, "the file's folder may not be written"),
    (1555, DuplicateKey, "a unique key has this value already"),
    (1811, InvalidValue, REFUSED_BY_ROUTINE),
    (2067, DuplicateKey, "a unique key has this value already"),
    (2579, DuplicateKey, "a unique key has this value already"),
    (3091, InvalidValue, "a value is not of its column's type"),
];

/// What is before the name in sentences about something missing, for which SQLite has no code of its own.
const MISSING: [(&str, &str); 4] = [
    ("no such table: ", "a table is missing"),
    ("no such column: ", "a column is missing"),
    (" has no column named ", "a column is missing"),
    ("no such function: ", "a function is missing"),
];

/// The meaning of an extended result code, and our message.
pub(super) fn judge(code: i32, sentence: &str) -> (ErrorKind, &'static str) {
    if let Some((_, words)) = missing(code, sentence) {
        return (MissingObject, words);
    }
    let of = |table: &[(i32, ErrorKind, &'static str)], code: i32| {
        table.iter().find(|(known, ..)| *known == code).map(|(_, kind, words)| (*kind, *words))
    };
    of(EXTENDED, code).or_else(|| of(CODES, code & 0xff)).unwrap_or((Other, "SQLite refused the statement"))
}

/// The columns, constraint or table that an error is about, where SQLite itself names it.
pub(super) fn object(code: i32, sentence: &str, statement: &str) -> Option<String> {
    if let Some((name, _)) = missing(code, sentence) {
        return named_in(statement, name);
    }
    let named = |start: &str| sentence.strip_prefix(start);
    match code {
        1555 | 2067 | 2579 => {
            let columns = named("UNIQUE constraint failed: ")?;
            if let Some(index) = columns.strip_prefix("index '") {
                return identifier(index.strip_suffix('\'')?);
            }
            let columns: Option<Vec<String>> = columns.split(", ").map(last_part).collect();
            Some(columns?.join(","))
        }
        1299 => last_part(named("NOT NULL constraint failed: ")?),
        // A CHECK without a name is quoted as it is written, which is no name.
        275 => identifier(named("CHECK constraint failed: ")?),
        _ => None,
    }
}

fn missing(code: i32, sentence: &str) -> Option<(&str, &'static str)> {
    if code != 1 {
        return None;
    }
    MISSING.iter().find_map(|(before, words)| {
        let (start, name) = sentence.split_once(before)?;
        let is_whole = start.is_empty() || (before.starts_with(' ') && start.starts_with("table "));
        is_whole.then_some((name, *words))
    })
}

fn last_part(column: &str) -> Option<String> {
    identifier(column.rsplit('.').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_primary_code_is_listed_and_extended_codes_inherit_its_kind() {
        for code in 1..=28 {
            let (_, kind, words) = CODES[usize::try_from(code - 1).unwrap()];
            assert_eq!(judge(code, ""), (kind, words), "{code}");
            // An extended code without an entry of its own.
            assert_eq!(judge(code | (200 << 8), ""), (kind, words), "{code}");
        }
        for (code, kind, words) in EXTENDED {
            assert_eq!(judge(*code, "whatever RAISE() wrote"), (*kind, *words), "{code}");
        }
    }

    #[test]
    fn each_result_code_maps_to_its_kind() {
        for (codes, kind) in [
            (&[7, 9, 10, 13, 14, 22, 266, 778, 1032, 3082][..], Unavailable), // no memory, IOERR_*, FULL, CANTOPEN
            (&[3, 8, 23, 264, 520, 776, 1288, 1544], PermissionDenied),       // READONLY_*
            (&[11, 26, 267, 523, 779], Rejected),                             // CORRUPT_*
            (&[5, 6, 15, 17, 261, 262, 517, 773, 516, 513], Contention),
            (&[1555, 2067, 2579], DuplicateKey),
            (&[18, 19, 20, 275, 531, 787, 1299, 1811, 3091], InvalidValue),
            (&[1, 2, 21, 25], Other),
        ] {
            for code in codes {
                assert_eq!(judge(*code, "").0, kind, "{code}");
            }
        }
    }

    #[test]
    fn names_are_taken_only_from_sqlites_own_messages() {
        let insert = "INSERT INTO t (pid, name) VALUES (?, ?)";
        for (code, sentence, expected) in [
            (2067, "UNIQUE constraint failed: t.pid, t.site", Some("pid,site")),
            (2067, "UNIQUE constraint failed: index 'lower_name'", Some("lower_name")),
            (1299, "NOT NULL constraint failed: t.name", Some("name")),
            (275, "CHECK constraint failed: adult", Some("adult")),
            (275, "CHECK constraint failed: length(name) < 10", None),
            (1811, "UNIQUE constraint failed: Kim.MinJun", None),
            (1811, "Kim MinJun born 1980-03-15", None),
            (1, "no such table: t", Some("t")),
            (1, "no such table: kim", None),
            (1, "table t has no column named name", Some("name")),
            (1, "Kim has no column named name", None),
        ] {
            assert_eq!(object(code, sentence, insert).as_deref(), expected, "{sentence}");
        }
        assert_eq!(judge(1, "no such table: x").0, MissingObject);
        assert_eq!(judge(1, "near \"no such table: x\": syntax error").0, Other);
    }
}
