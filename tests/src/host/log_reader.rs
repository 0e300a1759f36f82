//! Owns reading what a host logs through a pipe, so that a test can take the reader away.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::ChildStderr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Copies what a host logs into a file. It ends with the host, or when it is closed, which the host may not mind.
#[derive(Debug)]
pub struct LogReader(Arc<AtomicBool>);

impl LogReader {
    pub(super) fn start(mut pipe: ChildStderr, mut file: File) -> Self {
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            // What comes after it was closed is lost with the pipe, as with a reader that died.
            while let Ok(bytes @ 1..) = pipe.read(&mut buffer) {
                if closed.load(Ordering::Relaxed) || file.write_all(&buffer[..bytes]).is_err() {
                    break;
                }
            }
        });
        Self(is_closed)
    }

    /// Closes the pipe with the next line; whether it was open.
    #[must_use]
    pub fn close(self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}
