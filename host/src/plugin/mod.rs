//! The only place that knows wasmtime: it loads adapters, runs them one call at a time, and holds them to their limits.
//!
//! A call gets a fresh instance and a store of its own, so that nothing outlives it: no memory, no handle, no patient's
//! data. What an adapter may do is what `capability/` gives it for that one call: a lent transaction ([`SqlAccess`]) or
//! an HTTP client with an allow-list ([`HttpAccess`]), its settings, and the log. WASI is linked and grants nothing.
//!
//! What never happens here: a commit or rollback (the caller begins and ends transactions), a look into the host's own
//! store, a secret or a payload in an error or a log line. An adapter's fault is always a [`CallError`], never a panic.
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
mod load;
mod meters;
mod options;
mod response;
mod state;
mod structure;
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
pub use capability::http_secret::SecretValue;
pub use capability::http_token::{ClientProof, GrantOptions};
pub use capability::sql_access::SqlAccess;
pub use capability::sql_guard::{functions_known_to_the_guard, rewrite_statement};
pub use compiler::compile_for_parent;
pub use context::{CallContext, Given, LogTap, Usage};
pub use engine::Runtime;
pub use error::{CallError, PluginError};
pub use load::read_component;
pub use options::{COMMAND as COMPILE_COMMAND, CompileLimits, Compiler, RuntimeOptions};
pub use structure::COMPONENT_BYTES_MAX;
pub use transcript::{Operation, OperationResult, Transcript, TranscriptEntry};
pub use world::World;
