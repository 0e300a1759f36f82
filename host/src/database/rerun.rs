//! Running a whole transaction again when the database asks for it.

use std::time::Duration;

use super::DatabaseError;

/// How often one piece of work is run before its contention is reported.
const RUNS_MAX: u32 = 8;

/// Runs `work`, which begins and commits a transaction of its own, and runs it again (with a growing, random pause) on
/// a deadlock, a serialization failure or a busy database.
///
/// # Errors
/// The first error that is not contention, or the last contention.
pub async fn rerun<T, E, F>(what: &'static str, mut work: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: AsDatabaseError,
{
    let mut run = 1;
    loop {
        match work().await {
            Err(error) if run < RUNS_MAX && error.as_database_error().is_some_and(DatabaseError::is_contention) => {
                tracing::debug!(what, run, "contention: running the transaction again");
                let pause_ms = rand::random_range(1..=(5_u64 << run));
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                run += 1;
            }
            result => return result,
        }
    }
}

/// An error that may hold a database's.
pub trait AsDatabaseError {
    /// The database's error, if that is what it is.
    fn as_database_error(&self) -> Option<&DatabaseError>;
}

impl AsDatabaseError for DatabaseError {
    fn as_database_error(&self) -> Option<&DatabaseError> {
        Some(self)
    }
}
