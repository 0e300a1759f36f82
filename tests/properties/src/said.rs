//! What messages may say: one bounded line, and no value that stood in the input.

use std::fs;
use std::sync::LazyLock;
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
    let began = time_spent();
    let value = read();
    let spent = time_spent().saturating_sub(began);
    assert!(spent < limit, "it took {spent:?}");
    value
}

/// Processor time of this thread where the system reports it, since the machine may be busy with other work; else the wall clock.
fn time_spent() -> Duration {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|word| word.parse().ok());
    nanoseconds.map_or_else(|| STARTED.elapsed(), Duration::from_nanos)
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
