//! Fetches, verifies, installs and pushes adapters: sources, signatures, and the pins of `adapters.lock`.
//!
//! `fetch` only loads the bytes of a file, an https address or an OCI registry into memory. `install` writes them to
//! the folder of targets, completely or not at all. `host plugin install` and every load call [`Trust`] before any byte
//! of an adapter is parsed as WebAssembly.
//!
//! This folder never compiles or runs a component, never writes a byte before digest and signature are verified, and
//! never opens a plain http connection to another machine.
//!
//! Read next: `trust.rs` for the rules, `install.rs` for the order of the steps.

mod bounded;
mod error;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod install;
mod keys;
mod lock;
mod registry;
mod registry_client;
mod signature;
mod source;
mod transfer;
mod trust;

pub use error::DistributionError;
pub use fetch::fetch;
pub use install::{InstallPlan, install};
pub use keys::{NewKey, SigningKey};
pub use lock::{Lock, Pin};
pub use registry::push;
pub use registry_client::{Authorities, RegistryAuth, RegistryClient};
pub use signature::{Signed, TrustedKeys, signature_path};
pub use source::{AdapterName, Source};
pub use transfer::Fetched;
pub use trust::Trust;

use sha2::{Digest as _, Sha256};

use crate::domain::hex::hex;

/// The digest of a file in the common form: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}
