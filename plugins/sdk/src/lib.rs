//! The library for Rust adapters: the bindings of both worlds, their shared types, and helpers.
//!
//! An adapter implements [`DatabaseAdapter`] or [`HttpAdapter`] and exports itself with [`export_database_adapter!`] or
//! [`export_http_adapter!`]. One that can list our records at the target implements [`DatabaseListing`] or
//! [`HttpListing`] too, and exports that with [`export_database_listing!`] or [`export_http_listing!`]. This crate
//! knows nothing of the host, and must not do anything that the interface in `wit/0.2.0/` does not allow. Read next:
//! `wit/0.2.0/types.wit`, then `plugins/openemr`.

#[doc(hidden)]
pub mod answers;
mod bindings;
pub mod clinical;
pub mod database;
pub mod fingerprint;
pub mod http;
pub mod log;
pub mod patient;
pub mod schema;
pub mod settings;

pub use answers::{cannot_list, not_observed};
pub use bindings::database_lister::exports::neuronova::sync::database_listing::Guest as DatabaseListing;
pub use bindings::database_target::exports::neuronova::sync::database_adapter::Guest as DatabaseAdapter;
pub use bindings::database_target::neuronova::sync::types::{
    AggregateSupport, Applied, Change, Context, Current, Descriptor, Failure, FailureKind, Finding, FindingLevel, Link,
    Observation, Operation, Outcome, OwnPage, OwnRecord, Receipt, Reference, RemoteEdit, Report, Subject,
};
pub use bindings::http_lister::exports::neuronova::sync::http_listing::Guest as HttpListing;
pub use bindings::http_target::exports::neuronova::sync::http_adapter::Guest as HttpAdapter;
#[doc(hidden)]
pub use bindings::{database_lister, database_target, http_lister, http_target};

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

/// Exports the named type, which implements [`DatabaseListing`], in addition to [`export_database_adapter!`]. A native
/// build exports nothing.
#[macro_export]
macro_rules! export_database_listing {
    ($adapter:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::database_lister::export!($adapter with_types_in $crate::database_lister);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = $crate::answers::implements_database_listing::<$adapter>;
    };
}

/// Exports the named type, which implements [`HttpListing`], in addition to [`export_http_adapter!`]. A native build
/// exports nothing.
#[macro_export]
macro_rules! export_http_listing {
    ($adapter:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::http_lister::export!($adapter with_types_in $crate::http_lister);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = $crate::answers::implements_http_listing::<$adapter>;
    };
}
