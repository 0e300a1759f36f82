//! Loads adapters, runs them one call at a time, and enforces their limits. No other folder uses wasmtime.
//!
//! Each call gets a fresh instance with its own store, so nothing outlives the call: no memory, no handle, no patient's
//! data. `capability/` defines what an adapter may do in a call: use a lent transaction ([`SqlAccess`]) or an HTTP
//! client with an allow-list ([`HttpAccess`]), read its settings, and write to the log. WASI is linked and grants
//! nothing.
//!
//! This folder never commits or rolls back (the caller begins and ends transactions), never reads the host's own store,
//! and never puts a secret or a payload into an error or a log line. A fault of an adapter is always a [`CallError`],
//! never a panic.
//!
//! Read next: `engine.rs` (once per process), `load.rs` and `adapter.rs` (once per component), `call.rs` (once per
//! batch).

mod adapter;
mod admission;
mod artifact;
mod auth_failure;
mod bindings;
mod cache;
mod call;
mod capability;
mod compiler;
mod context;
mod convert;
mod crashes;
mod engine;
mod error;
mod exports;
#[doc(hidden)]
pub mod fuzzing;
mod imports;
mod interface_0_1;
mod lent;
mod limits;
mod listing;
mod load;
mod meters;
mod options;
mod recorder;
mod repeatable;
mod response;
mod span;
mod state;
mod structure;
mod tape;
mod ticker;
mod transcript;
mod turns;
mod waits;
mod world;

pub use crate::domain::grants::SqlGrants;
pub use crate::domain::limits::Limits;
pub use crate::domain::secret::Secret;
pub use adapter::Adapter;
pub use admission::Admission;
pub use artifact::Inspection;
pub use call::{DatabaseCall, HttpCall};
pub use capability::http_access::{HttpAccess, HttpOptions};
pub use capability::http_credentials::Credentials;
pub use capability::http_fate::RequestFates;
pub use capability::http_fence::Fence;
pub use capability::http_post::HttpPoster;
pub use capability::http_secret::SecretValue;
pub use capability::http_token::{ClientProof, GrantOptions};
pub use capability::sql_access::SqlAccess;
pub use capability::sql_guard::{
    Slot, StatementParts, functions_known_to_the_guard, rewrite_statement, statement_parts,
};
pub use compiler::compile_for_parent;
pub use context::{CallContext, Given, LogTap, Usage};
pub use engine::Runtime;
pub use error::{CallError, PluginError};
pub use load::read_component;
pub use options::{COMMAND as COMPILE_COMMAND, CompileLimits, Compiler, RuntimeOptions};
pub use recorder::{AttemptRecorder, Recorded};
pub use repeatable::Repeatable;
pub use structure::COMPONENT_BYTES_MAX;
pub use tape::{Tape, TapeUse};
pub use transcript::{Operation, OperationResult, Transcript, TranscriptEntry};
pub use world::{World, interface_versions};
