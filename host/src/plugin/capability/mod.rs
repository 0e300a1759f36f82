//! The capabilities that an adapter gets for one call, one per module. `imports/` uses them to serve the adapter's
//! calls.
//!
//! Each capability counts its uses and refuses anything that was not granted. None reveals a secret, opens a file, or
//! keeps data of one call for the next. Read next: `sql.rs`, then `http.rs`.

pub(super) mod http;
pub(super) mod http_access;
mod http_address;
mod http_assertion;
mod http_client;
mod http_coding;
mod http_connect;
pub(super) mod http_credentials;
mod http_errors;
pub(super) mod http_fate;
pub(super) mod http_fence;
mod http_incoming;
pub(super) mod http_list;
mod http_open;
pub(super) mod http_post;
pub(super) mod http_secret;
pub(super) mod http_token;
pub(super) mod sql;
pub(super) mod sql_access;
pub(super) mod sql_guard;
pub(super) mod sql_refusal;
pub(super) mod sql_shape;
