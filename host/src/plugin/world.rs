//! The two worlds that an adapter can be of, and what each of them imports.

/// The version of `neuronova:sync` that this host speaks.
pub(super) const INTERFACE_VERSION: &str = "0.1.0";
/// The package of our own interfaces.
pub(super) const PACKAGE: &str = "neuronova:sync/";
/// What WASI 0.2 offers to both worlds; nothing of it is granted.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The kind of target that an adapter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum World {
    /// `database-target`
    Database,
    /// `http-target`
    Http,
}

impl World {
    /// The name in `wit/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database-target",
            Self::Http => "http-target",
        }
    }

    /// The interface that its adapters export.
    pub(super) fn export(self) -> &'static str {
        match self {
            Self::Database => "neuronova:sync/database-adapter",
            Self::Http => "neuronova:sync/http-adapter",
        }
    }

    /// The section of the configuration that makes a target one of this world.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Database => "[targets.NAME.database]",
            Self::Http => "[targets.NAME.http]",
        }
    }

    pub(super) fn gives(self, import: &str) -> bool {
        let Some((name, version)) = import.split_once('@') else { return false };
        let own = match name.strip_prefix(PACKAGE) {
            Some("types" | "settings" | "logging") => true,
            Some("database") => self == Self::Database,
            _ => false,
        };
        let http = self == Self::Http && matches!(name, "wasi:http/types" | "wasi:http/outgoing-handler");
        let wasi = http || WASI.iter().any(|package| name.starts_with(package));
        (own && version == INTERFACE_VERSION) || (wasi && version.starts_with("0.2."))
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_gives_its_own_and_empty_wasi() {
        for import in ["neuronova:sync/types@0.1.0", "wasi:cli/environment@0.2.6", "wasi:sockets/tcp@0.2.0"] {
            assert!(World::Database.gives(import) && World::Http.gives(import), "{import}");
        }
        assert!(World::Database.gives("neuronova:sync/database@0.1.0"));
        assert!(!World::Http.gives("neuronova:sync/database@0.1.0"));
        assert!(World::Http.gives("wasi:http/outgoing-handler@0.2.4"));
        for import in ["wasi:http/outgoing-handler@0.2.4", "wasi:keyvalue/store@0.2.0", "env", "wasi:cli/run@0.3.0"] {
            assert!(!World::Database.gives(import), "{import}");
        }
    }
}
