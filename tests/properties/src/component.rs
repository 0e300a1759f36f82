//! A component, looked at before anything compiles it: it ends soon, and what passes is of one of our worlds and no
//! deeper than another reading finds it.
//!
//! Input: the file.

use std::time::Duration;

use host::plugin::fuzzing::inspect;
use wasmparser::{Parser, Payload};

use crate::said::{assert_plain, within};

/// See the module.
pub fn check(data: &[u8]) {
    match within(Duration::from_secs(2), || inspect("a.wasm", data)) {
        Err(error) => assert_plain(&error.to_string(), 8_000),
        Ok(found) => {
            assert_eq!(found.size, data.len() as u64);
            assert!(found.sha256.len() == 64 && ["0.1.0", "0.2.0"].contains(&found.interface_version()));
            assert!(found.exports.iter().any(|export| export.starts_with("neuronova:sync/")));
            for import in &found.imports {
                let package = import.split(['/', '@']).next().unwrap_or_default();
                assert!(package == "neuronova:sync" || package.starts_with("wasi:"), "it imports {import}");
                assert_plain(import, 4_096);
            }
            assert!(depth(data) <= 8);
        }
    }
}

fn depth(data: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for payload in Parser::new(0).parse_all(data) {
        match payload.expect("what passes is read again") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
