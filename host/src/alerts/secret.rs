//! Secrets of channels, which are read at each use, so that they can be renewed while the host runs.

use std::io;
use std::sync::Arc;

use crate::domain::secret::Secret;

/// Reads a secret.
pub type SecretReader = Arc<dyn Fn() -> io::Result<Secret> + Send + Sync>;

/// Reads a secret on a thread that may wait for a disk.
pub(super) async fn read_secret(read: &SecretReader) -> Result<Secret, String> {
    let read = Arc::clone(read);
    let secret = tokio::task::spawn_blocking(move || read()).await;
    secret
        .map_err(|_| "the secret cannot be read".to_owned())?
        .map_err(|error| format!("the secret cannot be read: {error}"))
}
