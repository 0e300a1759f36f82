//! How one delivery's statement looks at its siblings: the other deliveries of the same aggregate to the same target.
//!
//! It owns no statement, only the forms in which the index by aggregate is the only way, on each database. MySQL is told by
//! name. PostgreSQL cannot be told, and plans a statement once; of a table that is empty then, walking back from the newest
//! delivery of the target looks as good, and would be done to the oldest one for each patient who has none yet.

use super::sql::through;
use crate::database::Dialect;

/// Stands behind `sync_delivery` where siblings are looked for.
pub(super) fn by_aggregate(dialect: Dialect) -> String {
    through(dialect, "sync_delivery_aggregate")
}

/// The id of the newest delivery to `target` of `row`'s aggregate; NULL when there is none.
pub(super) fn newest(dialect: Dialect, target: &str, row: &str) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::MySql => extreme(dialect, "MAX", target, row, ""),
        Dialect::Postgres => neighbour(target, row, "<=", &i64::MAX.to_string(), " DESC"),
    }
}

/// The id of the oldest one behind the id `after`; NULL when there is none.
pub(super) fn oldest_behind(dialect: Dialect, target: &str, row: &str, after: &str) -> String {
    match dialect {
        Dialect::Sqlite | Dialect::MySql => {
            extreme(dialect, "MIN", target, row, &format!(" AND s.outbox_id > {after}"))
        }
        Dialect::Postgres => neighbour(target, row, ">", after, ""),
    }
}

/// The condition that the delivery `sibling` is one to `target` of `row`'s aggregate, and that its id is so: `order` is a
/// comparison, as `< j.before_id`.
pub(super) fn is_sibling(dialect: Dialect, sibling: &str, target: &str, row: &str, order: &str) -> String {
    // An expression hides a column from the key by target and id.
    let (of_target, id) = match dialect {
        Dialect::Sqlite | Dialect::MySql => (format!("{sibling}.target"), format!("{sibling}.outbox_id")),
        Dialect::Postgres => (format!("{sibling}.target || ''"), format!("{sibling}.outbox_id + 0")),
    };
    format!(
        "{of_target} = {target} AND {sibling}.aggregate_type = {row}.aggregate_type \
         AND {sibling}.aggregate_id = {row}.aggregate_id AND {id} {order}"
    )
}

fn extreme(dialect: Dialect, which: &str, target: &str, row: &str, behind: &str) -> String {
    format!(
        "(SELECT {which}(s.outbox_id) FROM sync_delivery s{} WHERE s.target = {target} \
         AND s.aggregate_type = {row}.aggregate_type AND s.aggregate_id = {row}.aggregate_id{behind})",
        by_aggregate(dialect)
    )
}

/// For PostgreSQL: the index entry next to where `id` of this aggregate is or would be, if it is of this aggregate. Only that
/// index has its entries in this order.
fn neighbour(target: &str, row: &str, comparison: &str, id: &str, direction: &str) -> String {
    format!(
        "(SELECT CASE WHEN s.aggregate_id = {row}.aggregate_id AND s.aggregate_type = {row}.aggregate_type \
         AND s.target = {target} THEN s.outbox_id END FROM (SELECT s.aggregate_id, s.aggregate_type, s.target, s.outbox_id \
         FROM sync_delivery s WHERE (s.aggregate_id, s.aggregate_type, s.target, s.outbox_id) {comparison} \
         ({row}.aggregate_id, {row}.aggregate_type, {target}, {id}) \
         ORDER BY s.aggregate_id{direction}, s.aggregate_type{direction}, s.target{direction}, s.outbox_id{direction} LIMIT 1) s)"
    )
}
