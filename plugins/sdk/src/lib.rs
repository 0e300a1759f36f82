//! The library for Rust adapters: the bindings of both worlds, their shared types, and helpers.
//!
//! An adapter implements [`DatabaseAdapter`] or [`HttpAdapter`] and exports itself with [`export_database_adapter!`] or
//! [`export_http_adapter!`]. This crate knows nothing of the host, and must not do anything that the interface in
//! `wit/0.2.0/` does not allow. Read next: `wit/0.2.0/types.wit`, then `plugins/openemr`.

mod answers;
mod bindings;
pub mod clinical;
pub mod database;
pub mod fingerprint;
pub mod http;
pub mod log;
pub mod patient;
pub mod schema;
pub mod settings;

pub use answers::not_observed;
pub use bindings::database_target::exports::neuronova::sync::database_adapter::Guest as DatabaseAdapter;
pub use bindings::database_target::neuronova::sync::types::{
    AggregateSupport, Applied, Change, Context, Current, Descriptor, Failure, FailureKind, Finding, FindingLevel, Link,
    Observation, Operation, Outcome, Receipt, Reference, RemoteEdit, Report, Subject,
};
pub use bindings::http_target::exports::neuronova::sync::http_adapter::Guest as HttpAdapter;
#[doc(hidden)]
pub use bindings::{database_target, http_target};

/// Exports the named type, which implements [`DatabaseAdapter`], as this component's adapter.
///
/// A native build, for tests, exports nothing: a native linker refuses the export names of a component.
#[macro_export]
macro_rules! export_database_adapter {
    ($adapter:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::database_target::export!($adapter with_types_in $crate::database_target);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Descriptor = <$adapter as $crate::DatabaseAdapter>::describe;
    };
}

/// Exports the named type, which implements [`HttpAdapter`], as this component's adapter. A native build exports
/// nothing.
#[macro_export]
macro_rules! export_http_adapter {
    ($adapter:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::http_target::export!($adapter with_types_in $crate::http_target);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Descriptor = <$adapter as $crate::HttpAdapter>::describe;
    };
}
