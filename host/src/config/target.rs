//! `[targets.NAME]`: a target and its adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::allow::read_allow;
use super::http::{HttpConfig, read_http};
use super::limits::{Limits, read_limits};
use super::section_reader::SectionReader;
use super::{DatabaseKind, DatabaseUrl, read_database_url};
use crate::domain::change::RemoteEdit;
use crate::domain::grants::SqlGrants;
use crate::domain::ids::{AggregateType, IdColumn, TargetName};
use crate::domain::verification::VerifySchedule;

/// A configured target.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// The name.
    pub name: TargetName,
    /// The absolute path of the adapter's file. Loading it reports a missing file.
    pub adapter: PathBuf,
    /// Whether the router makes deliveries for it.
    pub enabled: bool,
    /// The column of `patient_cache` that also gets the target's id.
    pub id_column: Option<IdColumn>,
    /// The policy for edits made at the target.
    pub on_remote_edit: RemoteEdit,
    /// The aggregate types that it accepts; distinct, never empty.
    pub aggregate_types: Vec<AggregateType>,
    /// The connection to it.
    pub connection: Connection,
    /// `[targets.NAME.settings]`, which only the adapter interprets.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// `[targets.NAME.limits]`.
    pub limits: Limits,
    /// `[targets.NAME.verify]`.
    pub verify: Option<VerifySchedule>,
}

/// The connection to a target. It determines the world of its adapter.
#[derive(Clone, Debug)]
pub enum Connection {
    /// `[targets.NAME.database]`.
    Database(DatabaseConfig),
    /// `[targets.NAME.http]`.
    Http(HttpConfig),
}

/// `[targets.NAME.database]`: a target that is a database.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The location of the database.
    pub url: DatabaseUrl,
    /// How many connections this host may open to it.
    pub connections_max: u32,
    /// `[targets.NAME.database.allow]`: the adapter's grants.
    pub allow: SqlGrants,
}

/// Reads all targets; `None` when one has a problem, which was reported.
pub(super) fn read_targets(
    targets: &SectionReader<'_>,
    adapters: &Path,
    batch: u32,
) -> Option<BTreeMap<TargetName, TargetConfig>> {
    let mut read = BTreeMap::new();
    let mut id_columns = BTreeMap::new();
    let mut complete = true;
    for (name, mut target) in targets.named_sections() {
        let id_column = target.word("id_column", IdColumn::WORDS, IdColumn::from_word);
        if let Some(column) = id_column
            && let Some(other) = id_columns.insert(column, name.value.clone())
        {
            target.note_key("id_column", format!("is already taken by [targets.{other}]"));
        }
        let name = TargetName::new(name.value).map_err(|error| target.note(format!("the name {error}"))).ok();
        match read_target(target, name, id_column, adapters, batch) {
            Some(target) => {
                read.insert(target.name.clone(), target);
            }
            None => complete = false,
        }
    }
    complete.then_some(read)
}

fn read_target(
    mut target: SectionReader<'_>,
    name: Option<TargetName>,
    id_column: Option<IdColumn>,
    adapters: &Path,
    batch: u32,
) -> Option<TargetConfig> {
    if !target.has("adapter") {
        target.note_missing("adapter", "is missing: name the component's file, for example \"openemr.wasm\"");
    }
    let context = target.context;
    let adapter = target.text("adapter").map(|entry| context.resolve(adapters.join(entry.value)));
    let enabled = target.boolean("enabled", true);
    let on_remote_edit = target.word("on_remote_edit", RemoteEdit::WORDS, RemoteEdit::from_word);
    let aggregate_types = read_aggregate_types(&mut target);
    let limits = target.section("limits");
    let deadline_is_set = limits.has("deadline_ms");
    let mut limits = read_limits(limits, batch);
    let settings = target.section("settings").json_object();
    let verify = read_verify(target.section("verify"));
    let connection = read_connection(&mut target, &mut limits, deadline_is_set);
    target.finish(&[]);
    Some(TargetConfig {
        name: name?,
        adapter: adapter?,
        enabled,
        id_column,
        on_remote_edit: on_remote_edit.unwrap_or(RemoteEdit::Overwrite),
        aggregate_types: aggregate_types?,
        connection: connection?,
        settings,
        limits,
        verify,
    })
}

fn read_verify(mut verify: SectionReader<'_>) -> Option<VerifySchedule> {
    if !verify.is_present() {
        return None;
    }
    if !verify.has("every") {
        verify.note_missing("every", "is missing: how often to verify, for example \"24h\"");
    }
    let every = verify.duration("every");
    let rate = verify.count("rate", 1..=1_000_000, 1_000);
    verify.finish(&[]);
    Some(VerifySchedule { every: every?, rate })
}

fn read_aggregate_types(target: &mut SectionReader<'_>) -> Option<Vec<AggregateType>> {
    if !target.has("aggregate_types") {
        return Some(vec![AggregateType::patient()]);
    }
    let mut types = BTreeSet::new();
    for entry in target.texts("aggregate_types")? {
        match AggregateType::new(entry.value) {
            Ok(aggregate_type) => {
                types.insert(aggregate_type);
            }
            Err(error) => target.note_key("aggregate_types", format!("each {error}")),
        }
    }
    if types.is_empty() {
        target.note_key("aggregate_types", "must name at least one, for example \"patient\"");
        return None;
    }
    Some(types.into_iter().collect())
}

fn read_connection(target: &mut SectionReader<'_>, limits: &mut Limits, deadline_is_set: bool) -> Option<Connection> {
    match (target.has("database"), target.has("http")) {
        (true, true) => target.note_key("http", "is given together with database: a target has exactly one of them"),
        (false, false) => target.note_missing(
            "database",
            "is missing, and so is http: a target has exactly one of them, as a table with url or base_url",
        ),
        _ => {}
    }
    let database = target.section("database");
    let database = if database.is_present() { read_database(database, limits) } else { None };
    let http = target.section("http");
    let http = if http.is_present() { read_http(http, limits, deadline_is_set) } else { None };
    database.map(Connection::Database).or(http.map(Connection::Http))
}

fn read_database(mut database: SectionReader<'_>, limits: &Limits) -> Option<DatabaseConfig> {
    let url = read_database_url(&mut database);
    let needed = limits.concurrency + 1;
    let connections_max = database.count("connections_max", 1..=1000, needed.max(4));
    let is_server = url.as_ref().is_some_and(|url| url.kind() != DatabaseKind::Sqlite);
    if is_server && connections_max < needed {
        let message = format!("must be at least {needed}: limits.concurrency and one for checks");
        database.note_key("connections_max", message);
    }
    let allow = read_allow(database.section("allow"));
    database.finish(&[]);
    Some(DatabaseConfig { url: url?, connections_max, allow })
}
