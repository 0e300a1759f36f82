//! Everything that a store holds, as lines that every store must have alike.

use host::database::{RowLimits, Value};

use super::world::World;

/// Each table with its columns. `#` before one marks a change's id, `@` a lease.
const TABLES: [(&str, &[&str]); 10] = [
    (
        "patient_cache",
        &[
            "patient_id",
            "family_name",
            "given_name",
            "native_family_name",
            "birth_date",
            "gender",
            "city",
            "openemr_patient_id",
            "fhir_patient_id",
            "created_at",
            "updated_at",
        ],
    ),
    (
        "sync_outbox",
        &["#id", "aggregate_type", "aggregate_id", "operation", "payload", "refs", "created_at", "routed_at"],
    ),
    (
        "sync_delivery",
        &[
            "#outbox_id",
            "target",
            "aggregate_type",
            "aggregate_id",
            "status",
            "attempts",
            "next_attempt_at",
            "@lease_id",
            "@last_attempt",
            "error_kind",
            "error_message",
            "created_at",
            "finished_at",
        ],
    ),
    ("sync_dependency", &["#outbox_id", "target", "referenced_type", "referenced_id"]),
    ("sync_in_flight", &["#outbox_id", "target", "aggregate_type", "aggregate_id", "@lease_id"]),
    ("sync_lease", &["@lease_id", "target", "owner", "acquired_at", "lease_until"]),
    (
        "sync_link",
        &[
            "target",
            "aggregate_type",
            "aggregate_id",
            "remote_id",
            "remote_version",
            "fingerprint",
            "#delivered_outbox_id",
            "synced_at",
        ],
    ),
    (
        "sync_target",
        &["name", "enabled", "paused", "paused_until", "state", "breaker", "breaker_until", "error_kind", "updated_at"],
    ),
    (
        "sync_attempt",
        &["@lease_id", "target", "host", "started_at", "elapsed_ms", "changes", "outcomes", "effect_counts"],
    ),
    ("sync_notice", &["kind", "subject", "changes", "#last_change_id", "last_at"]),
];

/// The place of `sync_outbox` among them; its key is first.
const OUTBOX: usize = 1;

impl World {
    /// Learns the numbers of changes that came to be since the last look.
    pub(super) async fn learn_changes(&mut self) {
        let ids = self.rows(&["SELECT id FROM sync_outbox".to_owned()]).await;
        self.learn(&ids.concat());
    }

    fn learn(&mut self, rows: &[Vec<Value>]) {
        let mut ids: Vec<_> = rows.iter().filter_map(|row| row.first()?.as_i64()).collect();
        ids.sort_unstable();
        let newest = self.changes.last().copied();
        self.changes.extend(ids.into_iter().filter(|id| newest.is_none_or(|newest| newest < *id)));
    }

    /// The whole store.
    pub(super) async fn state(&mut self) -> Vec<String> {
        let select = |(table, columns): (&str, &[&str])| {
            let names: Vec<_> = columns.iter().map(|column| column.trim_start_matches(['#', '@'])).collect();
            format!("SELECT {} FROM {table}", names.join(", "))
        };
        let tables = self.rows(&TABLES.map(select)).await;
        self.learn(&tables[OUTBOX]);
        let mut lines = Vec::new();
        for ((table, columns), rows) in TABLES.into_iter().zip(tables) {
            let mut of_table: Vec<_> = rows.into_iter().map(|row| self.line(table, columns, &row)).collect();
            of_table.sort();
            lines.append(&mut of_table);
        }
        lines
    }

    fn line(&self, table: &str, columns: &[&str], row: &[Value]) -> String {
        let fields = columns.iter().zip(row).map(|(column, value)| {
            let number = value.as_i64();
            match (column.chars().next(), number) {
                // Padded, so that lines are in the order of their numbers.
                (Some('#'), Some(id)) => format!("{column} {:04}", self.change(id)),
                (Some('@'), Some(lease_id)) => format!("{column} {}", self.lease(lease_id)),
                (_, Some(number)) => format!("{column} {number}"),
                (_, None) if *value == Value::Null => format!("{column} NULL"),
                (_, None) => {
                    let text = value.clone().into_text().expect("a number, a text or NULL");
                    format!("{column} `{}`", self.renumbered(&text))
                }
            }
        });
        format!("{table}: {}", fields.collect::<Vec<_>>().join(", "))
    }

    /// Messages and answers name a change by the number that its database gave it.
    pub(super) fn renumbered(&self, text: &str) -> String {
        ["outbox row ", "change_id: "].iter().fold(text.to_owned(), |text, before| self.renumbered_after(&text, before))
    }

    fn renumbered_after(&self, text: &str, before: &str) -> String {
        let mut parts = text.split(before);
        let mut renumbered = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
            let id = part[..end].parse().expect("the number of a change");
            renumbered = format!("{renumbered}{before}#{}{}", self.change(id), &part[end..]);
        }
        renumbered
    }

    /// What each of these queries gives, all at one moment.
    async fn rows(&self, queries: &[String]) -> Vec<Vec<Vec<Value>>> {
        let mut transaction = self.stand.store.database().begin_read().await.expect("begin");
        let mut all = Vec::new();
        for sql in queries {
            all.push(transaction.query(sql, &[], RowLimits::NONE).await.expect("query").rows);
        }
        transaction.rollback().await.expect("rollback");
        all
    }
}
