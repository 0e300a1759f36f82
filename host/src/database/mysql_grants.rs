//! Parses the lines of MySQL's and MariaDB's SHOW GRANTS: the only source that also shows privileges by role, of
//! PUBLIC, and on single columns. Pure; an unknown line is ignored.

use super::{Privilege, PrivilegeOn};

/// What one line grants. `database` is the session's own.
pub(super) fn read(line: &str, database: &str) -> Vec<Privilege> {
    let Some(rest) = line.strip_prefix("GRANT ") else { return Vec::new() };
    // A granted role has no object. Its privileges are in lines of their own.
    let Some((names, rest)) = split_outside(rest, " ON ") else { return Vec::new() };
    let Some((place, rest)) = split_outside(rest, " TO ") else { return Vec::new() };
    let on = place_of(place, database);
    let mut names: Vec<String> = privileges(names);
    if rest.ends_with("WITH GRANT OPTION") {
        names.push("GRANT OPTION".to_owned());
    }
    names.into_iter().map(|name| Privilege { name, on: on.clone() }).collect()
}

/// What `CURRENT_USER()` returns, as statements take it: a name may hold `@`, a host may not.
pub(super) fn account(user: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    match user.rsplit_once('@') {
        Some((name, host)) => format!("{}@{}", quoted(name), quoted(host)),
        None => quoted(user),
    }
}

/// What `CURRENT_ROLE()` returns: MySQL quotes its list, MariaDB has one role and does not.
pub(super) fn roles(current: &[String]) -> Vec<String> {
    let Some(current) = current.first().filter(|roles| !roles.is_empty() && *roles != "NONE") else {
        return Vec::new();
    };
    if current.starts_with('`') {
        return vec![current.clone()];
    }
    vec![format!("`{}`", current.replace('`', "``"))]
}

/// Names of privileges. Columns in brackets are dropped: a privilege on some columns counts as one on the table.
fn privileges(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut in_quotes = false;
    let mut outside = String::new();
    for character in text.chars() {
        match character {
            '`' => in_quotes = !in_quotes,
            '(' if !in_quotes => depth += 1,
            ')' if !in_quotes => depth = depth.saturating_sub(1),
            _ if depth == 0 && !in_quotes => outside.push(character),
            _ => {}
        }
    }
    let names = outside.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty() && name != "USAGE").collect()
}

fn place_of(text: &str, database: &str) -> PrivilegeOn {
    let (kind, place) = match text.split_once(' ') {
        Some((kind, place)) if !text.starts_with('`') => (Some(kind), place),
        _ => (None, text),
    };
    let parts = parts(place);
    match (kind, parts.as_slice()) {
        (None | Some("TABLE"), [schema, table]) if schema != "*" => match table.as_str() {
            // A pattern, in which `_` and `%` stand for any character unless there is a backslash.
            "*" => PrivilegeOn::Schema(schema.replace('\\', "")),
            table if schema == database => PrivilegeOn::Table(table.to_owned()),
            table => PrivilegeOn::OtherTable(format!("{schema}.{table}")),
        },
        (Some(kind), [schema, routine]) => {
            PrivilegeOn::OtherTable(format!("{} {schema}.{routine}", kind.to_lowercase()))
        }
        _ => PrivilegeOn::Server,
    }
}

/// `` `a`.`b` ``, where a backtick within a name is doubled.
fn parts(place: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut in_quotes = false;
    let mut characters = place.chars().peekable();
    while let Some(character) = characters.next() {
        let last = parts.last_mut().expect("invariant: there is a first part");
        match character {
            '`' if in_quotes && characters.peek() == Some(&'`') => {
                last.push('`');
                characters.next();
            }
            '`' => in_quotes = !in_quotes,
            '.' if !in_quotes => parts.push(String::new()),
            character => last.push(character),
        }
    }
    parts
}

/// The text before and behind the first `separator` that no quotes hold.
fn split_outside<'text>(text: &'text str, separator: &str) -> Option<(&'text str, &'text str)> {
    text.match_indices(separator)
        .find(|(at, _)| text[..*at].matches('`').count().is_multiple_of(2))
        .map(|(at, _)| (&text[..at], &text[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_roles_are_quoted_for_statements() {
        assert_eq!(account("sync@10.0.0.%"), "'sync'@'10.0.0.%'");
        assert_eq!(account("o'brien@home@%"), "'o''brien@home'@'%'");
        assert_eq!(roles(&["clerk".to_owned()]), ["`clerk`"]);
        assert_eq!(roles(&["`a`@`%`,`b`@`%`".to_owned()]), ["`a`@`%`,`b`@`%`"]);
        assert_eq!(roles(&["NONE".to_owned()]), [""; 0]);
        assert_eq!(roles(&[]), [""; 0]);
    }

    #[test]
    fn every_form_of_a_grant_is_parsed() {
        let table = |name: &str| PrivilegeOn::Table(name.to_owned());
        for (line, names, on) in [
            (
                "GRANT SELECT, UPDATE ON `clinic`.`phone_book` TO `sync`@`%`",
                &["SELECT", "UPDATE"][..],
                table("phone_book"),
            ),
            (
                "GRANT SELECT (`a`, `b,c`), INSERT, UPDATE (`x)`) ON `clinic`.`t` TO `sync`@`%`",
                &["SELECT", "INSERT", "UPDATE"],
                table("t"),
            ),
            ("GRANT SELECT ON `clinic`.`a ON b` TO `r`", &["SELECT"], table("a ON b")),
            ("GRANT SELECT ON `clinic`.`a``.b` TO `r`", &["SELECT"], table("a`.b")),
            (
                "GRANT ALL PRIVILEGES ON `open\\_emr`.* TO `r` WITH GRANT OPTION",
                &["ALL PRIVILEGES", "GRANT OPTION"],
                PrivilegeOn::Schema("open_emr".to_owned()),
            ),
            ("GRANT DELETE ON `other`.`t` TO PUBLIC", &["DELETE"], PrivilegeOn::OtherTable("other.t".to_owned())),
            (
                "GRANT EXECUTE ON FUNCTION `clinic`.`f` TO `r`",
                &["EXECUTE"],
                PrivilegeOn::OtherTable("function clinic.f".to_owned()),
            ),
            (
                "GRANT RELOAD, FILE ON *.* TO `sync`@`%` IDENTIFIED BY PASSWORD '*A' WITH GRANT OPTION",
                &["RELOAD", "FILE", "GRANT OPTION"],
                PrivilegeOn::Server,
            ),
            ("GRANT PROXY ON ``@`%` TO `root`@`%`", &["PROXY"], PrivilegeOn::Server),
        ] {
            let expected: Vec<_> =
                names.iter().map(|name| Privilege { name: (*name).to_owned(), on: on.clone() }).collect();
            assert_eq!(read(line, "clinic"), expected, "{line}");
        }
        for line in
            ["GRANT USAGE ON *.* TO `sync`@`%`", "GRANT `r`@`%` TO `sync`@`%`", "SET DEFAULT ROLE `r` FOR `sync`@`%`"]
        {
            assert_eq!(read(line, "clinic"), [], "{line}");
        }
    }
}
