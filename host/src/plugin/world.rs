//! The worlds of adapters, the versions of the interface, and the allowed imports of each.

/// A version of `neuronova:sync` that this host supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// Supported through `interface_0_1.rs`.
    V0_1,
    /// The current version.
    V0_2,
}

impl Interface {
    /// Every version, the oldest first.
    const ALL: [Self; 2] = [Self::V0_1, Self::V0_2];
    /// The version for new adapters.
    pub(super) const NEWEST: Self = Self::V0_2;

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.0",
            Self::V0_2 => "0.2.0",
        }
    }

    /// The version that a component's import or export names.
    pub(super) fn of(version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interface| interface.version() == version)
    }

    /// All versions, for messages.
    pub(super) fn versions() -> String {
        interface_versions().join(" and ")
    }
}

/// The versions of the interface that this host supports, the oldest first.
#[must_use]
pub fn interface_versions() -> [&'static str; 2] {
    Interface::ALL.map(Interface::version)
}

/// The name of the package of our own interfaces.
pub(super) const PACKAGE: &str = "neuronova:sync/";
/// The WASI 0.2 interfaces that both worlds may import. The host links them and grants nothing.
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

    /// The interface that adapters of this world export.
    pub(super) fn export(self) -> &'static str {
        match self {
            Self::Database => "neuronova:sync/database-adapter",
            Self::Http => "neuronova:sync/http-adapter",
        }
    }

    /// The section of the configuration that gives a target this world.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Database => "[targets.NAME.database]",
            Self::Http => "[targets.NAME.http]",
        }
    }

    /// Whether a component of this world and interface may import the named interface.
    pub(super) fn gives(self, interface: Interface, import: &str) -> bool {
        let Some((name, version)) = import.split_once('@') else { return false };
        let own = match name.strip_prefix(PACKAGE) {
            Some("types" | "settings" | "logging") => true,
            Some("database") => self == Self::Database,
            _ => false,
        };
        let http = self == Self::Http && matches!(name, "wasi:http/types" | "wasi:http/outgoing-handler");
        let wasi = http || WASI.iter().any(|package| name.starts_with(package));
        (own && version == interface.version()) || (wasi && version.starts_with("0.2."))
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
    fn a_world_provides_its_own_interfaces_and_empty_wasi() {
        let all = |import| Interface::ALL.map(|interface| World::Database.gives(interface, import));
        for import in ["wasi:cli/environment@0.2.6", "wasi:sockets/tcp@0.2.0"] {
            assert_eq!(all(import), [true, true], "{import}");
        }
        assert_eq!(all("neuronova:sync/database@0.1.0"), [true, false]);
        assert_eq!(all("neuronova:sync/types@0.2.0"), [false, true]);
        for import in ["wasi:http/outgoing-handler@0.2.4", "wasi:keyvalue/store@0.2.0", "env", "wasi:cli/run@0.3.0"] {
            assert_eq!(all(import), [false, false], "{import}");
        }
        assert!(!World::Http.gives(Interface::V0_2, "neuronova:sync/database@0.2.0"));
        assert!(World::Http.gives(Interface::V0_2, "wasi:http/outgoing-handler@0.2.4"));
        assert!(World::Http.gives(Interface::V0_1, "neuronova:sync/settings@0.1.0"));
    }
}
