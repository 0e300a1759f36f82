//! What can go wrong with an adapter: before it runs ([`PluginError`]) and while it runs ([`CallError`]).
//!
//! Both are safe to show to the operator: no payload, no secret, nothing that the guest wrote into its own memory.

use std::path::PathBuf;

use super::World;

/// The limit that is the same for all targets, because all stacks come from one pool.
pub(super) const STACK_KIB: &str = "stack_kib";

/// Why an adapter could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file is not there or cannot be read.
    #[error("cannot read the adapter {}: {source}", path.display())]
    Unreadable {
        /// As configured.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It must not be loaded: it is not the pinned file, or lacks the required signature.
    #[error("{0}")]
    NotAdmitted(String),
    /// The bytes are not WebAssembly at all.
    #[error(
        "{name} is not a WebAssembly component: {found}; expected the output of `cargo build --target wasm32-wasip2`"
    )]
    NotWasm {
        /// The file.
        name: String,
        /// What the bytes look like.
        found: String,
    },
    /// A core module, which has no typed interface.
    #[error("{name} is a core WebAssembly module, expected a component; build it with `--target wasm32-wasip2`")]
    CoreModule {
        /// The file.
        name: String,
    },
    /// The binary is damaged.
    #[error("{name} is a damaged WebAssembly component: {reason}")]
    Malformed {
        /// The file.
        name: String,
        /// The validator's error.
        reason: String,
    },
    /// It has more parts than an adapter can need, and is not examined any further.
    #[error("{name} has more parts than an adapter may have: {reason}")]
    TooMuch {
        /// The file.
        name: String,
        /// Of what, and the limit.
        reason: String,
    },
    /// A component, but not an adapter.
    #[error("{name} is a component of another world: it exports {found}, expected `{expected}`")]
    UnknownWorld {
        /// The file.
        name: String,
        /// What it exports.
        found: String,
        /// The export that the target needs.
        expected: String,
    },
    /// The right kind of adapter for a different kind of target.
    #[error("{name} is an adapter for the world `{found}`, expected `{expected}` since the target has {needs}")]
    WorldMismatch {
        /// The file.
        name: String,
        /// The adapter's world.
        found: World,
        /// The target's.
        expected: World,
        /// The section of the configuration that decides it.
        needs: &'static str,
    },
    /// Built against another version of the interface.
    #[error(
        "{name} was built for version {found} of the interface neuronova:sync, this host speaks {expected}, one at a time; rebuild the \
         adapter with this host's wit/ (and SDK, in Rust: `host plugin new` writes both), or run the host that it was \
         built for"
    )]
    VersionMismatch {
        /// The file.
        name: String,
        /// The adapter's version.
        found: String,
        /// Ours.
        expected: String,
    },
    /// It imports something that its world does not provide.
    #[error("{name} imports what the world `{world}` does not give: {}", imports.join(", "))]
    UngrantedImports {
        /// The file.
        name: String,
        /// The adapter's world.
        world: World,
        /// The imports in question.
        imports: Vec<String>,
    },
    /// Its types do not match the interface, although its names do.
    #[error("{name} does not fit the interface: {reason}")]
    Interface {
        /// The file.
        name: String,
        /// The linker's error.
        reason: String,
    },
    /// The component could not be compiled to machine code.
    #[error("cannot compile {name}: {reason}")]
    Compile {
        /// The file.
        name: String,
        /// The compiler's error.
        reason: String,
    },
    /// `describe` failed.
    #[error("{name} does not describe itself: {source}")]
    Describe {
        /// The file.
        name: String,
        /// What happened.
        source: CallError,
    },
    /// The directory of compiled adapters cannot be used.
    #[error("cannot use the directory of compiled adapters {}: {source}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The runtime itself could not be made.
    #[error("cannot prepare the runtime of adapters: {0}")]
    Engine(String),
    /// The target's HTTP settings are invalid.
    #[error("target `{target}`: {reason}")]
    Access {
        /// The target.
        target: String,
        /// What is wrong, and the fix.
        reason: String,
    },
}

/// Why a call gave no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The adapter exceeded a limit.
    #[error("{limit}: {}{}", exceeded(limit, *value), fix(target, *setting))]
    Limit {
        /// The limit's name, which is also the setting's.
        limit: &'static str,
        /// What it was set to, in the unit of its name.
        value: u64,
        /// The key in `[targets.NAME.limits]`, or `stack_kib` in `[plugins]`; none for a limit that is fixed.
        setting: Option<&'static str>,
        /// The target.
        target: String,
    },
    /// The adapter crashed: a panic, an `unreachable`, a bad access.
    #[error("the adapter crashed: {0}")]
    Trap(String),
    /// The adapter gave an invalid response.
    #[error("invalid adapter response: {0}")]
    InvalidResponse(String),
    /// The host could not run the adapter, which is not the adapter's fault.
    #[error("the adapter could not be run: {0}")]
    Host(String),
}

/// The fix.
fn fix(target: &str, setting: Option<&str>) -> String {
    match setting {
        Some(STACK_KIB) => format!("; raise [plugins] {STACK_KIB}"),
        Some(setting) => format!("; raise [targets.{target}.limits] {setting}"),
        None => String::new(),
    }
}

/// The limit in words.
fn exceeded(limit: &str, value: u64) -> String {
    match limit {
        "memory_mib" => format!("the adapter needs more than {value} MiB"),
        "deadline_ms" => format!("the call took longer than {value} ms"),
        "cpu_ms" => format!("the adapter computed for longer than {value} ms"),
        STACK_KIB => format!("the adapter's calls are nested too deeply for {value} KiB of stack"),
        "table_elements_max" => format!("the adapter's tables need more than {value} entries"),
        "handles_max" => format!("the adapter holds more than {value} handles"),
        "http_headers_max" => format!("an HTTP request or response with more than {value} headers"),
        "interim_heads_max" => format!("an HTTP response with more than {value} interim heads (1xx) before it"),
        "host_calls_max" => format!("the adapter called the host more than {value} times"),
        "log_lines_max" => format!("the adapter wrote more than {value} log lines"),
        "query_rows_max" => format!("a query gives more than {value} rows"),
        "http_requests_in_flight_max" => format!("the adapter has more than {value} requests in flight"),
        _ => match limit.rsplit_once("_bytes") {
            Some((what, _)) => format!("{} of more than {value} bytes", what.replace('_', " ")),
            None => format!("more than {value}"),
        },
    }
}
