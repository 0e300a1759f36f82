//! Identifies a file by its bytes, before any part of it is compiled or run.

use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use super::structure::{self, REASON_CHARS_MAX, Refused};
use super::world::{Interface, PACKAGE};
use super::{PluginError, World, listing};
use crate::domain::hex::hex;
use crate::domain::words::{NAME_CHARS_MAX, is_unprintable, one_line};

/// Imports that a message names.
const SHOWN_MAX: usize = 10;
/// What `host plugin inspect` shows of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The digest of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// The kind of target that it is for.
    pub world: World,
    /// The interface that it was built for.
    pub(super) interface: Interface,
    /// The names of its imports, in alphabetical order: the file's own depends on the folder that it was built in.
    pub imports: Vec<String>,
    /// The names of its exports, in alphabetical order.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: u64,
}

impl Inspection {
    /// The version of `neuronova:sync` that it was built for.
    #[must_use]
    pub fn interface_version(&self) -> &'static str {
        self.interface.version()
    }

    /// Whether it lists our records at its target.
    #[must_use]
    pub fn lists(&self) -> bool {
        listing::is_exported(self.world, &self.exports)
    }

    /// Fails when the adapter is for another kind of target.
    ///
    /// # Errors
    /// [`PluginError::WorldMismatch`]
    pub fn expect(&self, name: &str, expected: World) -> Result<(), PluginError> {
        if self.world == expected {
            return Ok(());
        }
        Err(PluginError::WorldMismatch {
            name: name.to_owned(),
            found: self.world,
            expected,
            needs: expected.section(),
        })
    }
}

/// Identifies the bytes.
///
/// # Errors
/// When they are not an adapter for this host.
pub fn inspect(name: &str, bytes: &[u8]) -> Result<Inspection, PluginError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(PluginError::NotWasm { name: name.to_owned(), found: looks_like(bytes) });
    }
    structure::check(bytes).map_err(|refused| match refused {
        Refused::Malformed(reason) => PluginError::Malformed { name: name.to_owned(), reason },
        Refused::TooMuch(reason) => PluginError::TooMuch { name: name.to_owned(), reason },
    })?;
    let (imports, exports) = outer_names(name, bytes)?;
    let (world, version) = world_of(name, &exports)?;
    let interface = interface_of(name, &version, &imports)?;
    let ungranted: Vec<&String> = imports.iter().filter(|import| !world.gives(interface, import)).collect();
    if !ungranted.is_empty() {
        let mut imports: Vec<String> =
            ungranted.iter().take(SHOWN_MAX).map(|import| one_line(import, NAME_CHARS_MAX)).collect();
        if ungranted.len() > SHOWN_MAX {
            imports.push(format!("and {} more", ungranted.len() - SHOWN_MAX));
        }
        return Err(PluginError::UngrantedImports { name: name.to_owned(), world, imports });
    }
    Ok(Inspection { sha256: hex(&Sha256::digest(bytes)), world, interface, imports, exports, size: bytes.len() as u64 })
}

fn looks_like(bytes: &[u8]) -> String {
    match bytes {
        [] => "the file is empty".to_owned(),
        [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', ..] => "it is a program for this machine".to_owned(),
        [b'(', ..] => "it is WebAssembly in text form".to_owned(),
        [b'P', b'K', ..] | [0x1f, 0x8b, ..] => "it is an archive".to_owned(),
        _ if std::str::from_utf8(&bytes[..bytes.len().min(256)]).is_ok() => "it is a text file".to_owned(),
        _ => "it does not begin with `\\0asm`".to_owned(),
    }
}

/// The names that the outermost component imports and exports, sorted.
fn outer_names(name: &str, bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), PluginError> {
    let malformed = |error: wasmparser::BinaryReaderError| PluginError::Malformed {
        name: name.to_owned(),
        reason: one_line(&error.to_string(), REASON_CHARS_MAX),
    };
    // The parser accepts any text; only a validator would reject it.
    let shown = |found: &str| {
        if found.chars().any(is_unprintable) {
            let reason = "the name of an import or export cannot be shown".to_owned();
            return Err(PluginError::Malformed { name: name.to_owned(), reason });
        }
        Ok(found.to_owned())
    };
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(PluginError::CoreModule { name: name.to_owned() });
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(shown(import.map_err(malformed)?.name.name)?);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(shown(export.map_err(malformed)?.name.name)?);
                }
            }
            _ => {}
        }
    }
    imports.sort();
    exports.sort();
    Ok((imports, exports))
}

/// The one version that the export and all imports of our package name.
fn interface_of(name: &str, exported: &str, imports: &[String]) -> Result<Interface, PluginError> {
    let own = imports.iter().filter(|import| import.starts_with(PACKAGE));
    let imported: Vec<&str> = own.filter_map(|import| import.split_once('@')).map(|(_, version)| version).collect();
    let all = || std::iter::once(exported).chain(imported.iter().copied());
    let unknown = all().find(|version| Interface::of(version).is_none());
    let other = || imported.iter().find(|version| **version != exported).map(|other| format!("{exported} and {other}"));
    match (Interface::of(exported), unknown.map(str::to_owned).or_else(other)) {
        (Some(interface), None) => Ok(interface),
        (_, found) => {
            let found = one_line(&found.unwrap_or_else(|| exported.to_owned()), NAME_CHARS_MAX);
            Err(PluginError::VersionMismatch { name: name.to_owned(), found, expected: Interface::versions() })
        }
    }
}

fn world_of(name: &str, exports: &[String]) -> Result<(World, String), PluginError> {
    for world in [World::Database, World::Http] {
        for export in exports {
            if let Some((interface, version)) = export.split_once('@')
                && interface == world.export()
            {
                return Ok((world, version.to_owned()));
            }
        }
    }
    let found = match exports {
        [] => "nothing".to_owned(),
        [first, ..] => format!("`{}`", one_line(first, NAME_CHARS_MAX)),
    };
    let expected =
        [World::Database, World::Http].map(|world| format!("{}@{}", world.export(), Interface::NEWEST.version()));
    Err(PluginError::UnknownWorld { name: name.to_owned(), found, expected: expected.join("` or `") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        inspect("a.wasm", bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_not_wasm_is_named() {
        for (bytes, words) in [
            (&b""[..], "the file is empty"),
            (b"hello world, this is text", "it is a text file"),
            (b"\x7fELF\x02\x01", "a program for this machine"),
            (b"(module)", "text form"),
            (b"\xff\xfe\xfd\xfc", "does not begin with"),
        ] {
            let error = error(bytes);
            assert!(error.contains(words) && error.contains("wasm32-wasip2"), "{error}");
        }
    }

    #[test]
    fn a_core_module_is_distinguished_from_a_component() {
        assert!(error(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(
            error(b"\0asm\x0d\0\x01\0")
                .contains("it exports nothing, expected `neuronova:sync/database-adapter@0.2.0`")
        );
        assert!(error(b"\0asm\x0d\0").contains("damaged"));
    }

    /// A component that only imports these and exports the adapter of this version.
    fn component(imports: &[String], version: &str) -> Vec<u8> {
        let section = |number: u8, names: &[String], end: &[u8]| {
            let mut body = vec![u8::try_from(names.len()).unwrap()];
            for name in names {
                body.extend([0, u8::try_from(name.len()).unwrap()]);
                body.extend(name.as_bytes());
                body.extend(end);
            }
            let digit = |number: usize| u8::try_from(number).unwrap();
            let mut section = vec![number, digit(body.len() & 127) | 128, digit(body.len() >> 7)];
            section.extend(body);
            section
        };
        let export = format!("neuronova:sync/http-adapter@{version}");
        [b"\0asm\x0d\0\x01\0".to_vec(), section(10, imports, &[5, 0]), section(11, &[export], &[5, 0, 0])].concat()
    }

    #[test]
    fn names_in_a_component_are_escaped_and_bounded() {
        let many: Vec<String> = (0..100).map(|number| format!("a:b/{}@{number}.0.0", "c".repeat(100))).collect();
        for (imports, version, words) in [
            (vec!["wasi:cli/\u{1b}[2J@0.2.0".to_owned()], "0.1.0", "cannot be shown"),
            (vec![], "0.1.0\u{202e}", "cannot be shown"),
            (vec![], "9", "was built for version 9"),
            (many, "0.1.0", "and 90 more"),
        ] {
            let error = error(&component(&imports, version));
            assert!(error.contains(words) && error.len() < 2_000, "{error}");
            assert!(!error.chars().any(is_unprintable), "{error:?}");
        }
        for version in ["0.1.0", "0.2.0"] {
            let found = inspect("a.wasm", &component(&["wasi:http/types@0.2.4".to_owned()], version)).unwrap();
            assert_eq!(found.interface_version(), version);
        }
    }

    #[test]
    fn a_component_must_use_one_supported_interface_version() {
        let mixed = error(&component(&["neuronova:sync/types@0.1.0".to_owned()], "0.2.0"));
        assert!(mixed.contains("was built for version 0.2.0 and 0.1.0"), "{mixed}");
        let unknown = error(&component(&["neuronova:sync/types@0.2.0".to_owned()], "0.9.0"));
        assert!(unknown.contains("was built for version 0.9.0"), "{unknown}");
    }
}
