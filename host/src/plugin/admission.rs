//! Who decides whether an adapter may be loaded at all, before anything of it is read as WebAssembly.

use std::path::Path;

/// Asked once for every load, off the async threads, with the very bytes that are compiled afterwards.
pub trait Admission: Send + Sync {
    /// An adapter that was read from a file.
    ///
    /// # Errors
    /// Why it must not be loaded, and the mend.
    fn admit_file(&self, path: &Path, bytes: &[u8]) -> Result<(), String>;

    /// An adapter whose bytes were kept elsewhere than in a file of its own; `name` is for messages.
    ///
    /// # Errors
    /// Why it must not be loaded, and the mend.
    fn admit_kept(&self, name: &str, bytes: &[u8]) -> Result<(), String>;
}
