//! Decides whether an adapter may be loaded, before its bytes are read as WebAssembly.

use std::path::Path;

/// Called once for each load, off the async threads, with exactly the bytes that are compiled afterwards.
pub trait Admission: Send + Sync {
    /// An adapter that was read from a file.
    ///
    /// # Errors
    /// Why the adapter must not be loaded, and the fix.
    fn admit_file(&self, path: &Path, bytes: &[u8]) -> Result<(), String>;

    /// An adapter whose bytes were not stored in a file of its own; `name` is for messages.
    ///
    /// # Errors
    /// Why the adapter must not be loaded, and the fix.
    fn admit_kept(&self, name: &str, bytes: &[u8]) -> Result<(), String>;
}
