//! What must hold of every input that the host reads from others, one module for each reader.
//!
//! `check(data)` panics where it does not hold. `cargo xtask fuzz` runs these functions on inputs that a fuzzer makes
//! (`fuzz/`). The test below runs them on every committed seed, so that a finding stays fixed. They call the host's own
//! code only through what it exposes, and judge it by other means: another parser, a count of lines, a second reading.

// To panic is what they are for.
#![allow(clippy::missing_panics_doc)]

pub mod addresses;
pub mod component;
pub mod config;
pub mod guard;
pub mod headers;
pub mod import;
pub mod lock;
pub mod manifest;
pub mod outcomes;
mod said;
pub mod seed;
pub mod source;

/// Panics when the property does not hold for this input.
pub type Property = fn(&[u8]);

/// Every property, by the name of its fuzz target.
pub const PROPERTIES: [(&str, Property); 11] = [
    ("addresses", addresses::check),
    ("component", component::check),
    ("config", config::check),
    ("guard", guard::check),
    ("headers", headers::check),
    ("import", import::check),
    ("lock", lock::check),
    ("manifest", manifest::check),
    ("outcomes", outcomes::check),
    ("seed", seed::check),
    ("source", source::check),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn names(folder: &Path) -> BTreeSet<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    }

    fn fuzz() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
    }

    #[test]
    fn every_fuzz_seed_passes_its_property() {
        let mut broken = Vec::new();
        for (name, property) in PROPERTIES {
            let seeds = fs::read_dir(fuzz().join("seeds").join(name)).unwrap();
            let mut count = 0;
            for seed in seeds {
                let path = seed.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                if std::panic::catch_unwind(|| property(&bytes)).is_err() {
                    broken.push(path);
                }
                count += 1;
            }
            assert!(count >= 3, "{name} has {count} seeds");
        }
        assert!(broken.is_empty(), "these have not the property of their folder: {broken:?}");
    }

    #[test]
    fn every_property_has_its_fuzz_target() {
        let known: BTreeSet<String> = PROPERTIES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&fuzz().join("fuzz_targets")), known);
        assert_eq!(names(&fuzz().join("seeds")), known);
    }
}
