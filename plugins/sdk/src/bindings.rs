//! The generated bindings of all worlds; they share one set of types.

/// The world `database-target`.
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]
pub mod database_target {
    wit_bindgen::generate!({
        path: "../../wit/0.2.0",
        world: "database-target",
        pub_export_macro: true,
        generate_all,
    });
}

/// The world `database-lister`.
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]
pub mod database_lister {
    wit_bindgen::generate!({
        path: "../../wit/0.2.0",
        world: "database-lister",
        pub_export_macro: true,
        with: {
            "neuronova:sync/types@0.2.0": crate::bindings::database_target::neuronova::sync::types,
            "neuronova:sync/settings@0.2.0": crate::bindings::database_target::neuronova::sync::settings,
            "neuronova:sync/logging@0.2.0": crate::bindings::database_target::neuronova::sync::logging,
            "neuronova:sync/database@0.2.0": crate::bindings::database_target::neuronova::sync::database,
        },
        generate_all,
    });
}

/// The world `http-target`.
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]
pub mod http_target {
    wit_bindgen::generate!({
        path: "../../wit/0.2.0",
        world: "http-target",
        pub_export_macro: true,
        with: {
            "neuronova:sync/types@0.2.0": crate::bindings::database_target::neuronova::sync::types,
            "neuronova:sync/settings@0.2.0": crate::bindings::database_target::neuronova::sync::settings,
            "neuronova:sync/logging@0.2.0": crate::bindings::database_target::neuronova::sync::logging,
        },
        generate_all,
    });
}

/// The world `http-lister`.
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]
pub mod http_lister {
    wit_bindgen::generate!({
        path: "../../wit/0.2.0",
        world: "http-lister",
        pub_export_macro: true,
        with: {
            "neuronova:sync/types@0.2.0": crate::bindings::database_target::neuronova::sync::types,
            "neuronova:sync/settings@0.2.0": crate::bindings::database_target::neuronova::sync::settings,
            "neuronova:sync/logging@0.2.0": crate::bindings::database_target::neuronova::sync::logging,
        },
        generate_all,
    });
}
