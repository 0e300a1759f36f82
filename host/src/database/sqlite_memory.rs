//! A bound on the memory that SQLite takes for one target, over all of its connections.
//!
//! SQLite runs inside this process and has one heap for all connections; its own heap limit would let one target's
//! statement fail the host's store. So SQLite allocates through this file. Each block begins with a pointer to the
//! budget that it counts against: that of the driver's thread, which is found by the thread's name. The host's own
//! connections have no budget.
//!
//! Only blocks above [`ALWAYS_GRANTED_BYTES`] are refused, because drivers and SQLite need small ones for their own
//! bookkeeping. The driver's copy of a finished row is never refused, because the driver would abort the process.

use std::cell::Cell;
use std::os::raw::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock, PoisonError, RwLock};

use libsqlite3_sys as ffi;
use sqlx::sqlite::LockedSqliteHandle;

/// What the threads of a target's connections are called; the budget's number follows.
const THREAD_NAME: &str = "sqlite-target-";
/// A target's page caches, statements and schema, and intermediate values of moderate statements.
const BASE_BYTES: u64 = 64 << 20;
/// A row is in memory twice at a time, and rows that are not read yet may wait behind it.
const ROWS_IN_MEMORY: u64 = 4;
/// Larger than a usual page of the cache, smaller than what a statement could fill the memory with.
const ALWAYS_GRANTED_BYTES: usize = 8 << 10;
/// Before each block: a pointer, in as many bytes as blocks are aligned to.
const HEADER_BYTES: c_int = 16;
/// What the copy of one value takes in addition to its bytes, at most.
const VALUE_OVERHEAD_BYTES: usize = 256;

/// What one target's connections may take together.
pub(super) struct Budget {
    number: usize,
    bytes_max: usize,
    used_bytes: AtomicUsize,
    refusals: AtomicU64,
}

/// By number. A process has as many as it has opened targets; they are never removed, since blocks point to them.
static BUDGETS: RwLock<Vec<&'static Budget>> = RwLock::new(Vec::new());
/// SQLite's own functions.
struct System {
    allocate: unsafe extern "C" fn(c_int) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    reallocate: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
    size: unsafe extern "C" fn(*mut c_void) -> c_int,
}

static SYSTEM: OnceLock<System> = OnceLock::new();

thread_local! {
    /// Looked up by each thread's first allocation.
    static OF_THREAD: Option<&'static Budget> = of_this_thread();
    /// Bytes that this thread may take for the copy of the row that is ready.
    static COPY_BYTES: Cell<usize> = const { Cell::new(0) };
}

impl Budget {
    /// For a target whose queries may give so many bytes.
    pub(super) fn of_target(query_bytes_max: u64) -> &'static Self {
        let bytes_max = BASE_BYTES.saturating_add(query_bytes_max.saturating_mul(ROWS_IN_MEMORY));
        let mut budgets = BUDGETS.write().unwrap_or_else(PoisonError::into_inner);
        let budget = Box::leak(Box::new(Self {
            number: budgets.len(),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            used_bytes: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
        }));
        budgets.push(budget);
        budget
    }

    /// The name of a connection's thread, by which its allocations find this budget.
    pub(super) fn thread_name(&self, connection: u64) -> String {
        format!("{THREAD_NAME}{}-{connection}", self.number)
    }

    /// How many blocks were refused so far.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::SeqCst)
    }

    /// Whether so much more may be taken.
    fn grants(&self, bytes: usize) -> bool {
        if bytes <= ALWAYS_GRANTED_BYTES
            || self.used_bytes.load(Ordering::Relaxed).saturating_add(bytes) <= self.bytes_max
        {
            return true;
        }
        let left = COPY_BYTES.try_with(|left| left.get().checked_sub(bytes).inspect(|rest| left.set(*rest)));
        if left.ok().flatten().is_some() {
            return true;
        }
        self.refusals.fetch_add(1, Ordering::SeqCst);
        false
    }
}

fn of_this_thread() -> Option<&'static Budget> {
    let thread = std::thread::current();
    let (number, _) = thread.name()?.strip_prefix(THREAD_NAME)?.split_once('-')?;
    BUDGETS.read().unwrap_or_else(PoisonError::into_inner).get(number.parse::<usize>().ok()?).copied()
}

/// Has SQLite allocate here. Called before anything of SQLite is used; afterwards it has no effect.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if !is_installed() {
            tracing::warn!("SQLite was in use before: the memory of statements on SQLite targets is not bounded");
        }
    });
}

#[expect(unsafe_code, reason = "SQLite takes its allocator through its C interface alone")]
fn is_installed() -> bool {
    let mut system = ffi::sqlite3_mem_methods {
        xMalloc: None,
        xFree: None,
        xRealloc: None,
        xSize: None,
        xRoundup: None,
        xInit: None,
        xShutdown: None,
        pAppData: ptr::null_mut(),
    };
    // SAFETY: SQLite writes its functions into a structure of its own type.
    if unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, &raw mut system) } != ffi::SQLITE_OK {
        return false;
    }
    let (Some(own_allocate), Some(own_free), Some(own_reallocate), Some(own_size)) =
        (system.xMalloc, system.xFree, system.xRealloc, system.xSize)
    else {
        return false;
    };
    let own = System { allocate: own_allocate, free: own_free, reallocate: own_reallocate, size: own_size };
    let ours = ffi::sqlite3_mem_methods {
        xMalloc: Some(allocate),
        xFree: Some(free),
        xRealloc: Some(reallocate),
        xSize: Some(size),
        ..system
    };
    // SAFETY: SQLite copies the structure, refuses it once it is in use, and calls the functions as it does its own.
    SYSTEM.set(own).is_ok()
        && unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const ours) } == ffi::SQLITE_OK
}

/// They are there before any of ours is called.
fn system() -> &'static System {
    SYSTEM.get().unwrap_or_else(|| std::process::abort())
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    let Some(with_header) = bytes.checked_add(HEADER_BYTES) else { return ptr::null_mut() };
    let budget = OF_THREAD.try_with(|budget| *budget).ok().flatten();
    if budget.is_some_and(|budget| !budget.grants(usize::try_from(bytes).unwrap_or_default())) {
        return ptr::null_mut();
    }
    // SAFETY: the block has room for the header in front, and is aligned for it.
    unsafe {
        let block = (system().allocate)(with_header);
        if block.is_null() {
            return block;
        }
        block.cast::<Option<&'static Budget>>().write(budget);
        if let Some(budget) = budget {
            budget.used_bytes.fetch_add(bytes_of(block), Ordering::Relaxed);
        }
        block.byte_offset(HEADER_BYTES as isize)
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn free(given: *mut c_void) {
    if given.is_null() {
        return;
    }
    // SAFETY: every block that SQLite holds came from `allocate` or `reallocate`.
    unsafe {
        let block = given.byte_offset(-(HEADER_BYTES as isize));
        if let Some(budget) = block.cast::<Option<&'static Budget>>().read() {
            budget.used_bytes.fetch_sub(bytes_of(block), Ordering::Relaxed);
        }
        (system().free)(block);
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn reallocate(given: *mut c_void, bytes: c_int) -> *mut c_void {
    let Some(with_header) = bytes.checked_add(HEADER_BYTES) else { return ptr::null_mut() };
    // SAFETY: as in `free`; the header moves with the block.
    unsafe {
        let block = given.byte_offset(-(HEADER_BYTES as isize));
        let budget = block.cast::<Option<&'static Budget>>().read();
        let before = bytes_of(block);
        let growth = usize::try_from(with_header).unwrap_or_default().saturating_sub(before);
        if budget.is_some_and(|budget| !budget.grants(growth)) {
            return ptr::null_mut();
        }
        let block = (system().reallocate)(block, with_header);
        if block.is_null() {
            return block;
        }
        if let Some(budget) = budget {
            budget.used_bytes.fetch_add(bytes_of(block), Ordering::Relaxed);
            budget.used_bytes.fetch_sub(before, Ordering::Relaxed);
        }
        block.byte_offset(HEADER_BYTES as isize)
    }
}

#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn size(given: *mut c_void) -> c_int {
    if given.is_null() {
        return 0;
    }
    // SAFETY: as in `free`.
    unsafe { (system().size)(given.byte_offset(-(HEADER_BYTES as isize))) - HEADER_BYTES }
}

/// The size of a whole block.
#[expect(unsafe_code, reason = "asks SQLite's own function")]
unsafe fn bytes_of(block: *mut c_void) -> usize {
    // SAFETY: the callers' block came from the system's function.
    usize::try_from(unsafe { (system().size)(block) }).unwrap_or_default()
}

/// Has SQLite tell when a row is ready on this connection, so that its copy is never refused.
#[expect(unsafe_code, reason = "sqlx has no such hook")]
pub(super) fn watch_rows(handle: &mut LockedSqliteHandle<'_>) {
    let connection = handle.as_raw_handle().as_ptr();
    // SAFETY: the handle is of an open connection, whose lock is held; the function needs no context.
    unsafe {
        ffi::sqlite3_trace_v2(connection, ffi::SQLITE_TRACE_ROW, Some(row_is_ready), ptr::null_mut());
    }
}

/// Lets this thread take what the copy of the row needs.
#[expect(unsafe_code, reason = "called by SQLite")]
unsafe extern "C" fn row_is_ready(_: c_uint, _: *mut c_void, statement: *mut c_void, _: *mut c_void) -> c_int {
    let statement = statement.cast::<ffi::sqlite3_stmt>();
    // SAFETY: SQLite gives the statement that has the row. Only texts and blobs are measured. In a UTF-16 database this
    // converts a text, as the copy would.
    let bytes = unsafe {
        (0..ffi::sqlite3_data_count(statement))
            .map(|column| match ffi::sqlite3_column_type(statement, column) {
                ffi::SQLITE_TEXT | ffi::SQLITE_BLOB => ffi::sqlite3_column_bytes(statement, column),
                _ => 0,
            })
            .map(|bytes| usize::try_from(bytes).unwrap_or_default().saturating_add(VALUE_OVERHEAD_BYTES))
            .fold(0, usize::saturating_add)
    };
    // Without it the copy is refused at worst.
    let _ = COPY_BYTES.try_with(|left| left.set(bytes));
    0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::database::{Database, ErrorKind, Locator, RowLimits};

    const QUERY_BYTES_MAX: u64 = 16 << 20;

    fn target(folder: &tempfile::TempDir) -> Database {
        let file = folder.path().join("target.db");
        std::fs::File::create(&file).unwrap();
        Database::of_target(Locator::Sqlite(file), 2, Duration::from_secs(30), QUERY_BYTES_MAX).unwrap()
    }

    fn used() -> usize {
        BUDGETS.read().unwrap().iter().map(|budget| budget.used_bytes.load(Ordering::SeqCst)).max().unwrap()
    }

    #[tokio::test]
    async fn hostile_row_of_many_large_columns_is_refused_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let database = target(&folder);
        let limits = RowLimits { rows_max: 10_000, bytes_max: 16 << 20 };
        let large = "hex(zeroblob(8000000))";
        let columns = |count: usize| vec![large; count].join(", ");
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)";
        for sql in [
            format!("SELECT {}", columns(200)),
            format!("SELECT length(printf('%s{}', {}))", "%.1s".repeat(90), columns(91)),
            // Each row by itself would fit; as many as the driver reads ahead would not.
            format!("{rows} SELECT {large}, {large}, {large} FROM n"),
        ] {
            let mut transaction = database.begin().await.unwrap();
            let started = used();
            let error = transaction.query(&sql, &[], limits).await.err().unwrap_or_else(|| panic!("{sql:.60}"));
            assert_eq!((error.kind, error.object.as_deref()), (ErrorKind::Refused, Some("bytes")), "{error} {sql:.60}");
            drop(transaction.rollback().await);
            let most = usize::try_from(BASE_BYTES + ROWS_IN_MEMORY * QUERY_BYTES_MAX).unwrap();
            assert!(started < most && used() < 2 * most, "{started}, {}", used());
            let mut transaction = database.begin().await.unwrap();
            let row = transaction.query("SELECT hex(zeroblob(2000000)), 1", &[], limits).await.unwrap();
            assert_eq!(row.rows.len(), 1, "the next transaction is as good as ever");
            transaction.rollback().await.unwrap();
        }
    }

    #[tokio::test]
    async fn hostile_write_over_the_memory_limit_is_refused_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let database = target(&folder);
        let mut transaction = database.begin().await.unwrap();
        transaction.execute("CREATE TABLE t (a TEXT)", &[]).await.unwrap();
        let all = vec!["hex(zeroblob(8000000))"; 90].join(", ");
        let sql = format!("INSERT INTO t SELECT length(printf('{}', {all}))", "%.1s".repeat(90));
        let error = transaction.execute(&sql, &[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains("query_bytes_max"), "{error}");
        assert!(transaction.commit().await.is_err(), "nothing of it is committed");
    }
}
