//! Warns where the database user may do more than the adapter was granted: the SQL guard is then the only protection.

use std::collections::BTreeMap;

use crate::database::{Database, DatabaseError, Privilege, PrivilegeOn};
use crate::domain::change::{Finding, FindingLevel};
use crate::domain::grants::{SqlGrants, TableVerb, Tables};
use crate::domain::words::one_line;

/// Places that a warning names.
const PLACES_SHOWN: usize = 5;
/// Characters of the whole list of places.
const CHARS_MAX: usize = 600;

/// Returns a warning where the user may do more. What the catalogue does not show is no finding.
pub(super) async fn excess(grants: &SqlGrants, database: &Database) -> Option<Finding> {
    let privileges = privileges_at(database).await.unwrap_or_default();
    let excess = beyond(grants, &privileges);
    if excess.is_empty() {
        return None;
    }
    let more = excess.len().saturating_sub(PLACES_SHOWN);
    let mut places: Vec<String> =
        excess.into_iter().take(PLACES_SHOWN).map(|(on, names)| format!("{} {on}", names.join(", "))).collect();
    if more > 0 {
        places.push(format!("more on {more} others"));
    }
    Some(Finding {
        level: FindingLevel::Warning,
        message: format!(
            "the database user may do more than the adapter: {}; make a user with the grants of `allow` and no more (`host check` prints the statements)",
            one_line(&places.join("; "), CHARS_MAX)
        ),
    })
}

/// Reads in a transaction of its own: on PostgreSQL a refused query ends its transaction.
async fn privileges_at(database: &Database) -> Result<Vec<Privilege>, DatabaseError> {
    let mut transaction = database.begin_read().await?;
    let privileges = transaction.privileges().await?;
    transaction.rollback().await?;
    Ok(privileges)
}

/// The privileges beyond the grants, by place.
pub(super) fn beyond(grants: &SqlGrants, privileges: &[Privilege]) -> BTreeMap<String, Vec<String>> {
    let all = TableVerb::ALL.iter().all(|verb| *grants.of(*verb) == Tables::All);
    let mut excess = BTreeMap::<String, Vec<String>>::new();
    for Privilege { name, on } in privileges {
        let place = match on {
            PrivilegeOn::Table(table) if is_granted(grants, table, name) => continue,
            // For a database that was made for the adapter alone.
            PrivilegeOn::Schema(_) if all && verb(name).is_some() => continue,
            PrivilegeOn::Table(table) | PrivilegeOn::OtherTable(table) => format!("on `{table}`"),
            PrivilegeOn::Schema(schema) => format!("in all of `{schema}`"),
            PrivilegeOn::Server => "on the whole server".to_owned(),
        };
        excess.entry(place).or_default().push(name.clone());
    }
    excess
}

fn verb(privilege: &str) -> Option<TableVerb> {
    match privilege {
        "SELECT" => Some(TableVerb::Read),
        "INSERT" => Some(TableVerb::Insert),
        "UPDATE" => Some(TableVerb::Update),
        "DELETE" => Some(TableVerb::Delete),
        _ => None,
    }
}

/// An UPDATE or DELETE with a condition also needs SELECT.
fn is_granted(grants: &SqlGrants, table: &str, privilege: &str) -> bool {
    match verb(privilege) {
        None => false,
        Some(TableVerb::Read) => TableVerb::ALL.iter().any(|verb| grants.allows_in_any_case(*verb, table)),
        Some(verb) => grants.allows_in_any_case(verb, table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_beyond_the_grants_are_named_with_their_object() {
        let grants = SqlGrants {
            read: ["patient_data"].into_iter().collect(),
            update: ["patient_data"].into_iter().collect(),
            delete: ["note"].into_iter().collect(),
            ..SqlGrants::default()
        };
        let table = |name: &str, table: &str| Privilege { name: name.into(), on: PrivilegeOn::Table(table.into()) };
        let exact = [
            table("SELECT", "patient_data"),
            table("UPDATE", "patient_data"),
            table("DELETE", "note"),
            table("SELECT", "note"),
        ];
        assert_eq!(beyond(&grants, &exact), BTreeMap::new());
        let more = [
            table("DELETE", "patient_data"),
            table("TRIGGER", "patient_data"),
            table("SELECT", "users"),
            Privilege { name: "INSERT".into(), on: PrivilegeOn::Schema("openemr".into()) },
            Privilege { name: "FILE".into(), on: PrivilegeOn::Server },
            Privilege { name: "SELECT".into(), on: PrivilegeOn::OtherTable("mysql.user".into()) },
        ];
        let expected = [
            ("in all of `openemr`", vec!["INSERT"]),
            ("on `mysql.user`", vec!["SELECT"]),
            ("on `patient_data`", vec!["DELETE", "TRIGGER"]),
            ("on `users`", vec!["SELECT"]),
            ("on the whole server", vec!["FILE"]),
        ];
        let expected = expected.map(|(on, names)| (on.to_owned(), names.into_iter().map(str::to_owned).collect()));
        assert_eq!(beyond(&grants, &more), BTreeMap::from(expected));
        let schema = Privilege { name: "SELECT".into(), on: PrivilegeOn::Schema("own".into()) };
        assert_eq!(beyond(&SqlGrants::everything(), &[schema]), BTreeMap::new());
    }
}
