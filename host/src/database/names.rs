//! Names of columns, keys and tables that a database mentions in an error, and which of them may be shown.
//!
//! A database's sentences are never repeated: a trigger can build them from a patient's row. A name is extracted only
//! if the message is the server's own and the name is a valid identifier. A table or column must also occur in our own
//! statement.

/// What is said of a write whose trigger or routine fails on something of its own.
pub(super) const ROUTINE_LACKS: &str = "a trigger or routine of the database needs what is missing or not \
     permitted; fix: correct it there, then `host retry`";

/// Characters of one part of a name; no database takes longer ones.
const PART_CHARS_MAX: usize = 64;
/// `database.table.column`.
const PARTS_MAX: usize = 3;

/// The text, if it is a valid identifier: parts of letters, digits, `_`, `$` and `-`, joined by dots.
pub(super) fn identifier(text: &str) -> Option<String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().count() <= PART_CHARS_MAX
            && part.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '$' | '-'))
            && part.chars().any(|character| !character.is_ascii_digit() && character != '-')
    };
    let parts: Vec<&str> = text.split('.').collect();
    (parts.len() <= PARTS_MAX && parts.iter().all(|part| is_part(part))).then(|| text.to_owned())
}

/// A table's or column's name without what it is qualified by, if the statement that was sent names it outside of its
/// literals.
pub(super) fn named_in(statement: &str, text: &str) -> Option<String> {
    let name = identifier(text)?;
    let last = name.rsplit('.').next()?.to_owned();
    words(statement).any(|word| word.to_lowercase() == last.to_lowercase()).then_some(last)
}

/// The words of a statement; what is between single quotes is a value and left out.
fn words(statement: &str) -> impl Iterator<Item = &str> {
    statement
        .split('\'')
        .step_by(2)
        .flat_map(|outside| {
            outside.split(|character: char| !character.is_alphanumeric() && !matches!(character, '_' | '$' | '-'))
        })
        .filter(|word| !word.is_empty())
}

/// Whether a statement changes rows.
pub(super) fn is_write(statement: &str) -> bool {
    let verb = words(statement).next().unwrap_or_default();
    ["INSERT", "UPDATE", "DELETE"].iter().any(|write| verb.eq_ignore_ascii_case(write))
}

/// The table that a statement of ours changes, as it names it.
pub(super) fn written_table(statement: &str) -> Option<String> {
    let behind = statement.split_whitespace().take(8).collect::<Vec<_>>();
    let verb = behind.first()?.to_ascii_uppercase();
    let name = match verb.as_str() {
        "UPDATE" => behind.get(1)?,
        "INSERT" | "DELETE" => {
            let place =
                behind.iter().position(|word| ["INTO", "FROM"].iter().any(|one| word.eq_ignore_ascii_case(one)))?;
            behind.get(place + 1)?
        }
        _ => return None,
    };
    let end = name.find('(').unwrap_or(name.len());
    identifier(&name[..end].replace(['`', '"'], ""))?.rsplit('.').next().map(str::to_owned)
}

/// What is between `before` and `after` in a sentence that begins with the one and goes on with the other.
pub(super) fn between<'text>(sentence: &'text str, before: &str, after: &str) -> Option<&'text str> {
    sentence.strip_prefix(before)?.split_once(after).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_identifier_is_a_name() {
        for name in ["pid", "patient_data.pid", "openemr.patient_data.DOB", "전화", "fk-1", "_2"] {
            assert_eq!(identifier(name).as_deref(), Some(name));
        }
        let long = "x".repeat(65);
        for text in
            ["", "Kim MinJun", "1980-03-15", "555-7788", "a..b", "a.b.c.d", "a'b", "a\nb", "kim@example.org", &long]
        {
            assert_eq!(identifier(text), None, "{text}");
        }
    }

    #[test]
    fn a_table_or_column_is_shown_only_if_our_statement_names_it() {
        let statement = "INSERT INTO patient_data (`fname`, DOB) VALUES (?, 'Kim')";
        assert_eq!(named_in(statement, "fname").as_deref(), Some("fname"));
        assert_eq!(named_in(statement, "openemr.patient_data.dob").as_deref(), Some("dob"));
        assert_eq!(named_in(statement, "Kim"), None, "a value");
        assert_eq!(named_in(statement, "other"), None);
        assert_eq!(named_in("", "fname"), None);
    }

    #[test]
    fn the_written_table_belongs_to_the_statement() {
        for (statement, table) in [
            ("INSERT INTO `patient_data` (fname) VALUES (?)", Some("patient_data")),
            ("insert ignore into openemr.patient_data(fname) VALUES (?)", Some("patient_data")),
            ("UPDATE \"patient_data\" SET fname = ?", Some("patient_data")),
            ("DELETE FROM patient_data WHERE pid = ?", Some("patient_data")),
            ("SELECT 1 FROM patient_data", None),
            ("", None),
        ] {
            assert_eq!(written_table(statement).as_deref(), table, "{statement}");
            assert_eq!(is_write(statement), table.is_some(), "{statement}");
        }
    }
}
