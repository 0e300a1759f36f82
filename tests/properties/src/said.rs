//! What messages may say: one bounded line, and no value that stood in the input.

use std::time::{Duration, Instant};

use host::domain::words::is_unprintable;
use host::spanned_toml::FileProblem;

/// Stands for a secret or a patient's data in an input. Whoever reads the input must never repeat it.
pub(crate) const MARK: &str = "Zq7Wv";

/// A message is one line that moves no terminal, is not empty, and does not grow with the input.
pub(crate) fn assert_plain(message: &str, bytes_max: usize) {
    assert!(!message.trim().is_empty(), "an empty message");
    assert!(!message.chars().any(is_unprintable), "a message with unprintable characters: {message:?}");
    assert!(message.len() <= bytes_max, "a message of {} bytes: {message:?}", message.len());
}

pub(crate) fn is_marked(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

/// A message does not repeat what was marked.
pub(crate) fn assert_unmarked(message: &str) {
    assert!(!message.contains(MARK), "a message repeats a value: {message:?}");
}

/// Reading ends soon, whatever is read.
pub(crate) fn within<T>(limit: Duration, read: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let value = read();
    assert!(began.elapsed() < limit, "it took {:?}", began.elapsed());
    value
}

/// Problems of a file name their line and field, and are plain.
pub(crate) fn assert_problems(problems: &[FileProblem], texts: &[&[u8]]) {
    assert!(!problems.is_empty(), "refused without a problem");
    let lines = texts.iter().map(|text| text.split(|byte| *byte == b'\n').count()).max().unwrap_or(1);
    for FileProblem { line, field, message } in problems {
        assert_plain(message, 2_000);
        assert!(field.is_empty() || line.is_some(), "`{field}` has no line: {message}");
        assert!(line.is_none_or(|line| (1..=lines).contains(&line)), "line {line:?} of {lines}: {field}: {message}");
        assert!(!field.chars().any(is_unprintable) && field.len() <= 2_000, "the field {field:?}");
    }
}
