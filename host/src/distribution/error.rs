//! Why an adapter was not fetched, trusted or installed. Every message names the object and the fix.

use std::path::PathBuf;

use crate::domain::words::one_line;

/// The longest text of another machine in a message, in characters.
const SANITIZED_CHARS_MAX: usize = 300;

/// Why an adapter was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// The source is not valid.
    #[error("{text}: {reason}")]
    Source {
        /// As written.
        text: String,
        /// The problem, and the right form.
        reason: String,
    },
    /// It could not be fetched.
    #[error("cannot fetch {from}: {reason}")]
    Fetch {
        /// The source.
        from: String,
        /// What happened.
        reason: String,
    },
    /// It could not be pushed.
    #[error("cannot push to {to}: {reason}")]
    Push {
        /// The registry's address.
        to: String,
        /// What happened.
        reason: String,
    },
    /// One of the host's files cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// `adapters.lock` is invalid.
    #[error("{}: {reason}; restore the last valid one, or delete it to begin with no pins", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// A source returned another file than the pinned one.
    #[error(
        "{source_text} has moved: adapters.lock pins `{name}` to {pinned}, and it gives {found}; nothing was installed. \
         If the change is wanted, add --update"
    )]
    Moved {
        /// The source.
        source_text: String,
        /// The adapter.
        name: String,
        /// The digest in the lock.
        pinned: String,
        /// The digest of the fetched file.
        found: String,
    },
    /// A file differs from the pinned one.
    #[error(
        "{what} is not the file that adapters.lock pins: it is {found}, the pin is {pinned}; put the pinned one back \
         with `host plugin install --name {name} {source_text}`, or install the one that is wanted"
    )]
    NotPinned {
        /// The file.
        what: String,
        /// The adapter.
        name: String,
        /// The source of the pinned file.
        source_text: String,
        /// The digest in the lock.
        pinned: String,
        /// The digest of the file.
        found: String,
    },
    /// A required signature is missing.
    #[error(
        "{what} has no signature, and [plugins] require_signature is true: let its maker sign it (`host plugin sign`), \
         and put the signature next to it as {expected}"
    )]
    Unsigned {
        /// The file.
        what: String,
        /// The expected place of the signature.
        expected: String,
    },
    /// The signature is not valid for this file and a trusted key.
    #[error("{what} is refused: {reason}")]
    Signature {
        /// The file.
        what: String,
        /// The problem and the fix.
        reason: String,
    },
    /// A key is not valid.
    #[error("{what}: {reason}")]
    Key {
        /// The file or setting.
        what: String,
        /// The problem and the fix.
        reason: String,
    },
}

impl DistributionError {
    /// Wraps the system's error for one of the host's files.
    pub(super) fn file(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }
}

/// Makes another machine's text safe for a terminal: one line of limited length, without control characters.
pub(super) fn sanitized(text: &str) -> String {
    one_line(&text.split_whitespace().collect::<Vec<_>>().join(" "), SANITIZED_CHARS_MAX)
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    sanitized(&text)
}

#[cfg(test)]
mod tests {
    use super::sanitized;

    #[test]
    fn control_characters_in_foreign_text_are_not_printed() {
        assert_eq!(sanitized("denied\x1b[2J\r\n  now\u{7}"), "denied [2J now");
        assert_eq!(sanitized(&"x".repeat(1000)).chars().count(), 301);
    }
}
