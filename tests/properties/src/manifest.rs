//! A registry's manifest, and the signature in it: one component of bounded size, or a refusal in one line.
//!
//! Input: the manifest as JSON.

use std::time::Duration;

use host::distribution::TrustedKeys;
use host::distribution::fuzzing::manifest;
use host::plugin::COMPONENT_BYTES_MAX;

use crate::said::{assert_plain, within};

/// A key whose secret half was not kept: no signature is by it.
const KEY: &str = "RWTAf/flMuLqffzF+CPFB5RwUjI1mHHcod4mCWcUU/2DRYwQv+VvN+Au";

/// See the module.
pub fn check(data: &[u8]) {
    let named = match within(Duration::from_secs(2), || manifest(data)) {
        Ok(named) => named,
        Err(None) => return,
        Err(Some(reason)) => return assert_plain(&reason, 1_000),
    };
    assert_eq!(named.media_type, "application/wasm");
    assert!(u64::try_from(named.size).is_ok_and(|size| size <= COMPONENT_BYTES_MAX), "{} bytes", named.size);
    let Some(signature) = named.signature else { return };
    assert!(signature.len() <= 16 << 10);
    let keys = TrustedKeys::parse(&[KEY.to_owned()]).expect("a key");
    let bytes = b"what no key has signed";
    let verdict = within(Duration::from_secs(2), || keys.verify("a.wasm", bytes, &signature));
    let error = verdict.expect_err("a signature of bytes that no key signed");
    assert_plain(&error.to_string(), 1_000);
}
