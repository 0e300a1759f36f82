//! The bindings of the worlds of the interface 0.2.0, generated from `wit/0.2.0/`; they share one set of types.
//!
//! Read next: `exports.rs`, which calls them, `convert.rs`, which turns these types into the host's own, and
//! `imports/`, which implements the imports. Adapters of 0.1.0: `interface_0_1.rs`.

/// The world `database-target`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(super) mod database_target {
    wasmtime::component::bindgen!({
        path: "../wit/0.2.0",
        world: "database-target",
        imports: {
            "neuronova:sync/database.[method]transaction.query": async | trappable,
            "neuronova:sync/database.[method]transaction.execute": async | trappable,
            "neuronova:sync/database.[method]transaction.lock": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "neuronova:sync/database.transaction": crate::plugin::lent::LentTransaction,
        },
    });
}

/// The exports of the world `http-target`; its `wasi:http` is linked by `wasmtime_wasi_http` itself.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(super) mod http_target {
    wasmtime::component::bindgen!({
        path: "../wit/0.2.0",
        inline: "
            package neuronova:host;
            world http-target {
                export neuronova:sync/http-adapter@0.2.0;
            }
        ",
        world: "neuronova:host/http-target",
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "neuronova:sync/types": super::database_target::neuronova::sync::types,
        },
    });
}

/// What an adapter for a database exports if it lists our records.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic)]
pub(super) mod database_lister {
    wasmtime::component::bindgen!({
        path: "../wit/0.2.0",
        inline: "
            package neuronova:host;
            world database-lister {
                export neuronova:sync/database-listing@0.2.0;
            }
        ",
        world: "neuronova:host/database-lister",
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "neuronova:sync/types": super::database_target::neuronova::sync::types,
            "neuronova:sync/database": super::database_target::neuronova::sync::database,
        },
    });
}

/// What an adapter over HTTP exports if it lists our records.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic)]
pub(super) mod http_lister {
    wasmtime::component::bindgen!({
        path: "../wit/0.2.0",
        inline: "
            package neuronova:host;
            world http-lister {
                export neuronova:sync/http-listing@0.2.0;
            }
        ",
        world: "neuronova:host/http-lister",
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "neuronova:sync/types": super::database_target::neuronova::sync::types,
        },
    });
}

pub(super) use database_lister::DatabaseListerPre;
pub(super) use database_target::DatabaseTargetPre;
pub(super) use database_target::neuronova::sync::{database, logging, settings, types};
pub(super) use http_lister::HttpListerPre;
pub(super) use http_target::HttpTargetPre;
