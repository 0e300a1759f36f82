//! SQLite's own limits on a target's file, where the statements are an adapter's: the size of a value, the depth and
//! length of a statement, and that it opens no other file.
//!
//! SQLite can be stopped only between two steps of its machine: a function over a very large value could not be
//! stopped. So the size of values is limited.

use std::os::raw::c_int;

use libsqlite3_sys as ffi;
use sqlx::sqlite::LockedSqliteHandle;

/// Bytes of one value or row: a batch's JSON fits, and a function over it ends in a second or so, since those whose
/// time is the square of a length are not granted (`sql_guard/words.rs`).
const VALUE_BYTES_MAX: c_int = 32 << 20;

/// What SQLite calls it, and the most that it may be. SQLite never goes above its own compiled limit.
const LIMITS: [(c_int, c_int); 10] = [
    (ffi::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    // The guard refuses longer ones.
    (ffi::SQLITE_LIMIT_SQL_LENGTH, 2 << 20),
    (ffi::SQLITE_LIMIT_COLUMN, 2_000),
    (ffi::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (ffi::SQLITE_LIMIT_COMPOUND_SELECT, 50),
    // Steps of one program: an INSERT of 1,000 rows of 40 columns has some 50,000.
    (ffi::SQLITE_LIMIT_VDBE_OP, 5_000_000),
    (ffi::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (ffi::SQLITE_LIMIT_ATTACHED, 0),
    (ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
    (ffi::SQLITE_LIMIT_TRIGGER_DEPTH, 32),
];

/// Sets them for this connection.
pub(super) fn set(handle: &mut LockedSqliteHandle<'_>) {
    let connection = handle.as_raw_handle().as_ptr();
    for (limit, most) in LIMITS {
        #[expect(unsafe_code, reason = "sqlx has no way to set SQLite's limits")]
        // SAFETY: the handle is of an open connection, and its lock is held for as long as `handle` lives.
        unsafe {
            ffi::sqlite3_limit(connection, limit, most);
        }
    }
}
