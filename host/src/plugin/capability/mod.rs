//! What the host does for an adapter during one call, one capability per module.
//!
//! Each of them counts what it is asked for and refuses what was not granted. None of them hands out a secret, opens a
//! file, or keeps anything of one call for the next. Read next: `sql.rs`, then `http.rs`.

pub(super) mod http_access;
pub(super) mod http_fence;
pub(super) mod sql_access;
pub(super) mod sql_guard;
