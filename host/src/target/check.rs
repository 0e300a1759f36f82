//! The check of a target: the adapter's own check, and the host's own findings at a database.

use super::privileges;
use super::session::{CallFailure, reported};
use super::spec::{Access, Target};
use crate::database::{Database, Transaction};
use crate::domain::change::{Failure, FailureKind, Finding, FindingLevel, Report};
use crate::plugin::{Adapter, CallContext, LogTap, SqlAccess, Usage};

impl Target {
    /// Refuses an adapter that does not take every type of this target. Every check begins with it, so that a command
    /// that checks a target and a running host report the same.
    ///
    /// # Errors
    /// The type, what the adapter takes, and the fix.
    pub fn accept(&self, adapter: &Adapter) -> Result<(), Failure> {
        let descriptor = adapter.descriptor();
        let Some(kind) = self.spec.aggregate_types.iter().find(|kind| descriptor.support(kind).is_none()) else {
            return Ok(());
        };
        let taken = descriptor.type_names().map(|taken| format!("\"{taken}\"")).collect::<Vec<_>>().join(", ");
        let message = format!(
            "adapter {} does not take aggregates of type {kind}; fix: another adapter, or aggregate_types = [{taken}] in \
             [targets.{}]",
            descriptor.name, self.spec.name
        );
        Err(Failure::new(FailureKind::Misconfigured, message))
    }

    /// Calls the adapter's `check` at the target. Nothing is changed there.
    ///
    /// # Errors
    /// Why nothing can be delivered.
    pub async fn check(&self, adapter: &Adapter) -> Result<Report, Failure> {
        self.measured_check(adapter, None).await.0.map_err(CallFailure::into_failure)
    }

    /// As [`Target::check`], and returns what the call used. `log_tap` keeps the adapter's log lines.
    pub async fn measured_check(
        &self,
        adapter: &Adapter,
        log_tap: Option<LogTap>,
    ) -> (Result<Report, CallFailure>, Usage) {
        if let Err(failure) = self.accept(adapter) {
            return (Err(CallFailure::Reported(failure)), Usage::default());
        }
        let context = CallContext { log_tap, ..self.context.clone() };
        match &self.access {
            Access::Database { database, sql, .. } => self.check_database(adapter, &context, database, sql).await,
            Access::Http(http) => {
                let call = adapter.check_http(&context, http).await;
                (reported(call.result), call.usage)
            }
        }
    }

    async fn check_database(
        &self,
        adapter: &Adapter,
        context: &CallContext,
        database: &Database,
        sql: &std::sync::Arc<SqlAccess>,
    ) -> (Result<Report, CallFailure>, Usage) {
        let (transaction, lasting) = match self.begin_check(database).await {
            Ok(begun) => begun,
            Err(failure) => return (Err(failure), Usage::default()),
        };
        let call = adapter.check_database(context, sql, transaction).await;
        let mut findings = Vec::from_iter(lasting);
        if let Some(transaction) = call.transaction {
            // Nothing was changed, so that a failed rollback does no harm.
            transaction.rollback().await.ok();
            // After the roll back: its connection may be the only one.
            findings.extend(privileges::excess(sql.grants(), database).await);
        }
        let result = match call.broken {
            Some(error) => Err(CallFailure::Database(error)),
            None => reported(call.result),
        };
        let result = result.map(|mut report| {
            report.findings.extend(findings);
            report
        });
        (result, call.usage)
    }

    /// Begins the transaction that the check reads in. A database that refuses writes fails here: the adapter's check,
    /// which writes nothing, would not notice.
    async fn begin_check(&self, database: &Database) -> Result<(Transaction, Option<Finding>), CallFailure> {
        let mut transaction = database.begin_reading_first().await.map_err(CallFailure::Database)?;
        if let Some(obstacle) = transaction.write_obstacle().await.map_err(CallFailure::Database)? {
            return Err(CallFailure::Reported(Failure::new(FailureKind::Misconfigured, obstacle)));
        }
        let lasting = self.lasting_tables(&mut transaction).await;
        Ok((transaction, lasting))
    }

    /// Tables without transactions that the adapter may write: a batch that fails halfway stays half written there.
    async fn lasting_tables(&self, transaction: &mut Transaction) -> Option<Finding> {
        // A table that the catalogue does not show here is not reported; the adapter's own check follows.
        let tables = transaction.tables_without_transactions().await.unwrap_or_default();
        let written: Vec<String> = self.writable(&tables).into_iter().map(|table| format!("`{table}`")).collect();
        (!written.is_empty()).then(|| Finding {
            level: FindingLevel::Warning,
            message: format!(
                "tables without transactions, where a batch that fails half-way stays half written: {}; convert each with ALTER \
                 TABLE ... ENGINE = InnoDB",
                written.join(", ")
            ),
        })
    }
}
