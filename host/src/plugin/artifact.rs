//! What a file is, before anything of it runs.

/// The kind of target that an adapter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl std::fmt::Display for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What `host plugin inspect` shows of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The digest of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// What it is for.
    pub world: World,
    /// The version of `neuronova:sync` that it was built for.
    pub interface_version: String,
    /// What it asks of the host.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: u64,
}
