//! Real components in the runtime: what a good one can do, and that a hostile one can do no more.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test that fails shows what it found")]

mod compiling;
mod interface;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use host::database::{Dialect, ErrorKind};
use host::domain::change::{BatchOutcome, FailureKind, Outcome, RemoteEdit};
use host::plugin::{
    Adapter, CallContext, CallError, DatabaseCall, Given, Runtime, RuntimeOptions, SqlAccess, SqlGrants, World,
};

use support::{Target, behaving, changes, given, probe, runtime};

struct Bench {
    adapter: Arc<Adapter>,
    target: Target,
    access: Arc<SqlAccess>,
}

impl Bench {
    async fn new() -> Self {
        Self {
            adapter: probe(&runtime()).await,
            target: Target::new().await,
            access: SqlAccess::new(Dialect::Sqlite, SqlGrants::everything()),
        }
    }

    async fn apply_in(&self, context: &CallContext) -> DatabaseCall<BatchOutcome> {
        let transaction = self.target.begin().await;
        self.adapter.apply_database(context, &self.access, transaction, given(b"state"), &changes(3)).await
    }

    async fn apply(&self, behaviour: &str, argument: &str) -> DatabaseCall<BatchOutcome> {
        self.apply_in(&behaving(behaviour, argument)).await
    }

    /// The error of a behaviour that must not succeed; the transaction comes back, and the next call works.
    async fn fault_in(&self, context: &CallContext) -> CallError {
        let call = self.apply_in(context).await;
        call.transaction.expect("the transaction comes back").rollback().await.unwrap();
        let error = call.result.expect_err("the host judges");
        let next = self.apply("echo", "").await;
        assert_eq!(next.result.unwrap().unwrap().outcomes.len(), 3, "the host goes on");
        next.transaction.unwrap().rollback().await.unwrap();
        error
    }

    async fn fault(&self, behaviour: &str, argument: &str) -> CallError {
        self.fault_in(&behaving(behaviour, argument)).await
    }
}

fn ids(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Applied(receipt) => receipt.remote_id.as_str(),
            Outcome::Failed(failure) => failure.message.as_str(),
            Outcome::Skipped(reason) => reason.as_str(),
        })
        .collect()
}

#[tokio::test]
async fn an_adapter_describes_itself() {
    let adapter = probe(&runtime()).await;
    assert_eq!(adapter.descriptor().name, "probe");
    let [support, encounter] = &adapter.descriptor().aggregate_types[..] else { panic!("two types") };
    assert!(encounter.aggregate_type == "encounter" && !encounter.observes, "{encounter:?}");
    assert!(support.aggregate_type == "patient" && support.observes && support.operations.len() == 3, "{support:?}");
    assert_eq!(adapter.world(), World::Database);
    assert_eq!(adapter.sha256().len(), 64);
    assert_eq!(adapter.inspection().interface_version(), "0.2.0");
    assert!(adapter.inspection().imports.iter().any(|import| import == "neuronova:sync/database@0.2.0"));
}

#[tokio::test]
async fn changes_and_state_reach_the_adapter_and_its_outcomes_are_returned() {
    let bench = Bench::new().await;
    let call = bench.apply("echo", "").await;
    assert_eq!(ids(&call.result.unwrap().unwrap().outcomes), ["P-1-5", "P-2-5", "P-3-5"]);
    assert!(call.usage.memory_bytes > 0);
    call.transaction.unwrap().rollback().await.unwrap();
    let transaction = bench.target.begin().await;
    let call = bench.adapter.check_database(&behaving("echo", ""), &bench.access, transaction).await;
    assert_eq!(call.result.unwrap().unwrap().state, b"seen");
}

#[tokio::test]
async fn the_caller_commits_or_rolls_back_the_writes_of_an_adapter() {
    let bench = Bench::new().await;
    let call = bench.apply("insert", "").await;
    assert_eq!(call.result.unwrap().unwrap().outcomes.len(), 3);
    assert_eq!(call.usage.statements, 3);
    call.transaction.unwrap().rollback().await.unwrap();
    assert_eq!(bench.target.notes().await, 0);
    bench.apply("insert", "").await.transaction.unwrap().commit().await.unwrap();
    assert_eq!(bench.target.notes().await, 3);
    let again = bench.apply("insert", "").await;
    assert_eq!(again.result.unwrap().unwrap_err().kind, FailureKind::Invalid, "the key is taken");
}

#[tokio::test]
async fn hostile_state_kept_between_calls_is_discarded() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        let call = bench.apply("twice", "").await;
        assert_eq!(ids(&call.result.unwrap().unwrap().outcomes), ["1", "1", "1"]);
    }
}

#[tokio::test]
async fn hostile_endless_loop_is_stopped() {
    let bench = Bench::new().await;
    let mut context = behaving("endless-loop", "");
    context.limits.cpu_ms = 50;
    let error = bench.fault_in(&context).await;
    let words = "cpu_ms: the adapter computed for longer than 50 ms; raise [targets.t.limits] cpu_ms";
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn hostile_endless_loop_leaves_the_other_tasks_running() {
    // One thread for everything: without yielding, the timer below could not fire.
    let bench = Bench::new().await;
    let mut context = behaving("endless-loop", "");
    context.limits.cpu_ms = 60_000;
    context.limits.deadline_ms = 200;
    let began = Instant::now();
    let (error, ()) = tokio::join!(bench.fault_in(&context), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(began.elapsed() < Duration::from_millis(190), "the loop gave way");
    });
    assert_eq!(
        error.to_string(),
        "deadline_ms: the call took longer than 200 ms; raise [targets.t.limits] deadline_ms"
    );
}

#[tokio::test]
async fn hostile_sleeper_is_cut_off() {
    let bench = Bench::new().await;
    let mut context = behaving("sleep", "");
    context.limits.deadline_ms = 50;
    assert!(matches!(bench.fault_in(&context).await, CallError::Limit { limit: "deadline_ms", value: 50, .. }));
}

#[tokio::test]
async fn hostile_memory_growth_is_limited() {
    let bench = Bench::new().await;
    for behaviour in ["memory-growing", "memory-many-small"] {
        let error = bench.fault(behaviour, "").await;
        let words = "memory_mib: the adapter needs more than 64 MiB; raise [targets.t.limits] memory_mib";
        assert_eq!(error.to_string(), words, "{behaviour}");
    }
}

#[tokio::test]
async fn hostile_recursion_overflows_only_its_own_stack() {
    let bench = Bench::new().await;
    let error = bench.fault("endless-recursion", "").await;
    let words = "stack_kib: the adapter's calls are nested too deeply for 1024 KiB of stack; raise [plugins] stack_kib";
    assert_eq!(error.to_string(), words);
    assert!(matches!(bench.fault("endless-recursion-in-memory", "").await, CallError::Trap(_)));
}

#[tokio::test]
async fn hostile_panic_messages_are_not_shown() {
    let bench = Bench::new().await;
    for behaviour in ["panic", "unreachable", "exit"] {
        let error = bench.fault(behaviour, "").await;
        assert!(matches!(error, CallError::Trap(_)), "{behaviour}: {error}");
        assert!(!error.to_string().contains("Kim"), "{error}");
    }
}

#[tokio::test]
async fn hostile_answers_are_refused() {
    let bench = Bench::new().await;
    assert_eq!(bench.fault("too-few", "").await, CallError::InvalidResponse("2 outcomes for 3 changes".to_owned()));
    assert_eq!(bench.fault("too-many", "").await, CallError::InvalidResponse("4 outcomes for 3 changes".to_owned()));
    for id in ["long", "control"] {
        let error = bench.fault("bad-id", id).await;
        assert!(
            matches!(&error, CallError::InvalidResponse(words) if words.starts_with("the remote-id of outcome 0")),
            "{error}"
        );
    }
    assert!(matches!(bench.fault("gigabytes", "").await, CallError::Limit { limit: "host_call_bytes_max", .. }));
    let call = bench.apply("control-characters", "").await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "first  second  [31mred");
}

#[tokio::test]
async fn hostile_floods_of_logs_and_calls_are_limited() {
    let bench = Bench::new().await;
    assert!(matches!(
        bench.fault("log-flood", "").await,
        CallError::Limit { limit: "log_lines_max", value: 1_000, .. }
    ));
    for behaviour in ["host-call-flood", "clock-flood"] {
        let words = "host_calls_max: the adapter called the host more than 50000 times; raise [targets.t.limits] host_calls_max";
        assert_eq!(bench.fault(behaviour, "").await.to_string(), words, "{behaviour}");
    }
    let mut context = behaving("long-parameter", "");
    context.limits.memory_mib = 256;
    assert!(matches!(bench.fault_in(&context).await, CallError::Limit { limit: "host_call_bytes_max", .. }));
    assert!(bench.apply("log-long", "").await.result.unwrap().is_ok(), "a long line is only cut");
    let mut context = behaving("log-flood", "");
    context.limits.log_bytes_max = 2048;
    let words = "log_bytes_max: log of more than 2048 bytes; raise [targets.t.limits] log_bytes_max";
    assert_eq!(bench.fault_in(&context).await.to_string(), words);
}

#[tokio::test]
async fn hostile_extreme_numbers_and_waits_are_handled() {
    let bench = Bench::new().await;
    let call = bench.apply("extreme-numbers", "").await;
    assert_eq!(call.result.unwrap().unwrap().outcomes.len(), 3);
    call.transaction.unwrap().commit().await.unwrap();
    assert_eq!(bench.target.notes().await, 12);
    let mut bench = bench;
    bench.target = Target::new().await;
    let failure = bench.apply("extreme-numbers", "wait").await.result.unwrap().unwrap_err();
    assert_eq!(failure.retry_after_ms, Some(86_400_000), "a day at most");
}

#[tokio::test]
async fn hostile_access_to_other_schemas_and_tables_is_refused() {
    let mut bench = Bench::new().await;
    let only = |name: &str| std::iter::once(name).collect();
    let grants = SqlGrants { read: only("note"), insert: only("note"), ..SqlGrants::default() };
    bench.access = SqlAccess::new(Dialect::Sqlite, grants);
    for (behaviour, sql, words) in [
        ("query", "SELECT a FROM other.note", "`other.note` lies outside of the target's own tables"),
        ("query", "SELECT * FROM temp.sqlite_master", "`temp.sqlite_master` lies outside of the target's own tables"),
        (
            "query",
            "SELECT id FROM note WHERE id IN (SELECT id FROM secret)",
            "table `secret` may not be read: add it to [targets.t.database.allow] in host.toml: read = [\"secret\"]",
        ),
        (
            "statement",
            "UPDATE note SET body = ''",
            "table `note` may not be updated: add it to [targets.t.database.allow] in host.toml: update = [\"note\"]",
        ),
        (
            "statement",
            "DELETE FROM note",
            "table `note` may not be deleted from: add it to [targets.t.database.allow] in host.toml: delete = [\"note\"]",
        ),
        (
            "statement",
            "INSERT INTO secret (id) VALUES ('x')",
            "table `secret` may not be inserted into: add it to [targets.t.database.allow] in host.toml: insert = [\"secret\"]",
        ),
        ("query", "SELECT load_extension('x')", "function `load_extension` is not allowed"),
    ] {
        let call = bench.apply(behaviour, sql).await;
        let failure = call.result.unwrap().unwrap_err();
        // What a line of the configuration would grant is no patient's fault.
        let kind = if words.contains("add it to") { FailureKind::Misconfigured } else { FailureKind::Denied };
        assert_eq!((failure.kind, failure.message.as_str()), (kind, words), "{sql}");
        assert_eq!(call.usage.statements, 0, "{sql}");
    }
}

#[tokio::test]
async fn hostile_sql_never_reaches_the_database() {
    let bench = Bench::new().await;
    for sql in [
        "COMMIT",
        "ROLLBACK",
        "INSERT INTO note (id) VALUES ('x'); COMMIT",
        "DROP TABLE note",
        "PRAGMA user_version = 1",
    ] {
        let call = bench.apply("statement", sql).await;
        assert_eq!(call.result.unwrap().unwrap_err().kind, FailureKind::Denied, "{sql}");
        assert_eq!(call.usage.statements, 0, "{sql}");
        call.transaction.unwrap().commit().await.unwrap();
    }
    assert_eq!(bench.target.notes().await, 0);
}

#[tokio::test]
async fn a_table_that_was_not_granted_is_refused() {
    let mut bench = Bench::new().await;
    let only = |name: &str| std::iter::once(name).collect();
    let grants = SqlGrants { read: only("other"), insert: only("note"), ..SqlGrants::default() };
    bench.access = SqlAccess::new(Dialect::Sqlite, grants);
    let words = "table `note` may not be read: add it to [targets.t.database.allow] in host.toml: read = [\"note\"]";
    let call = bench.apply("query", "SELECT id FROM note").await;
    assert_eq!(call.result.unwrap().unwrap_err().message, words);
    drop(call.transaction);
    assert!(bench.apply("insert", "").await.result.unwrap().is_ok());
}

#[tokio::test]
async fn a_query_over_its_limit_names_the_setting() {
    let bench = Bench::new().await;
    bench.apply("insert", "").await.transaction.unwrap().commit().await.unwrap();
    let mut context = behaving("query", "SELECT id FROM note");
    context.limits.query_rows_max = 3;
    assert_eq!(ids(&bench.apply_in(&context).await.result.unwrap().unwrap().outcomes), ["3", "3", "3"]);
    context.limits.query_rows_max = 2;
    let words = "query_rows_max: a query gives more than 2 rows; raise [targets.t.limits] query_rows_max";
    assert_eq!(bench.apply_in(&context).await.result.unwrap_err().to_string(), words);
    context.limits.query_rows_max = 3;
    context.limits.query_bytes_max = 5;
    let error = bench.apply_in(&context).await.result.unwrap_err();
    assert!(matches!(error, CallError::Limit { limit: "query_bytes_max", value: 5, .. }), "{error}");
}

#[tokio::test]
async fn wasi_grants_nothing() {
    let bench = Bench::new().await;
    let call = bench.apply("look-around", "").await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "found: []");
}

/// Some millions of rows to count, out of 150.
const SLOW: &str = "SELECT COUNT(*) FROM note a, note b, note c WHERE a.id < b.id AND b.body <> c.id";

async fn with_many_notes() -> Bench {
    let bench = Bench::new().await;
    let context = behaving("insert", "");
    let transaction = bench.target.begin().await;
    let call = bench.adapter.apply_database(&context, &bench.access, transaction, given(b""), &changes(150)).await;
    assert!(call.result.unwrap().is_ok());
    call.transaction.unwrap().commit().await.unwrap();
    bench
}

#[tokio::test]
async fn a_transaction_that_the_database_ended_cannot_be_committed() {
    let mut bench = with_many_notes().await;
    bench.target.statement_timeout(Duration::from_millis(20));
    let call = bench.apply("query", SLOW).await;
    assert_eq!(call.broken.unwrap().kind, ErrorKind::Unavailable);
    assert_eq!(call.result.unwrap().unwrap_err().kind, FailureKind::Unavailable);
    assert!(call.transaction.unwrap().commit().await.is_err(), "nothing can be committed any more");
}

/// More rows than can be counted.
const ENDLESS: &str = "SELECT COUNT(*) FROM note a, note b, note c, note d, note e, note f, note g WHERE a.id < g.body";

#[tokio::test]
async fn hostile_endless_query_is_stopped_and_ends_its_transaction() {
    let mut bench = with_many_notes().await;
    bench.target.as_someone_elses();
    let mut context = behaving("query", ENDLESS);
    context.limits.deadline_ms = 2_000;
    let call = bench.apply_in(&context).await;
    let words = "deadline_ms: the call took longer than 2000 ms; raise [targets.t.limits] deadline_ms";
    assert_eq!(call.result.unwrap_err().to_string(), words);
    assert!(call.transaction.is_none());
    // There is one connection that writes, and it would count for ever unless stopped.
    assert_eq!(bench.target.notes().await, 150);
    assert!(bench.apply("echo", "").await.result.unwrap().is_ok());
}

#[tokio::test]
async fn many_calls_run_in_parallel_and_the_excess_waits() {
    let runtime =
        Runtime::new(&RuntimeOptions { cache_dir: None, instances_max: 2, ..RuntimeOptions::default() }).unwrap();
    let adapter = probe(&runtime).await;
    let target = Target::new().await;
    let access = SqlAccess::new(Dialect::Sqlite, SqlGrants::everything());
    let hold = Given { state: b"", learned: b"", on_remote_edit: RemoteEdit::Hold };
    let calls = (0..20).map(|_| async {
        let transaction = target.database.begin_read().await.unwrap();
        let context = behaving("echo", "");
        adapter.apply_database(&context, &access, transaction, hold, &changes(5)).await.result
    });
    for result in futures::future::join_all(calls).await {
        assert_eq!(result.unwrap().unwrap().outcomes.len(), 5);
    }
}
