//! Lines that people read have at most 120 columns: comments, docs, SQL and configuration.

use std::fs;

use super::tracked_files;

const COLUMNS_MAX: usize = 120;

const JUDGED: [&str; 13] = [
    ".ci",
    ".cargo",
    "Cargo.toml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs",
    "host",
    "plugins",
    "tests",
    "wit/README.md",
    "xtask",
];

/// Data of tests, statements as each database gets them, and migrations, whose digests stores hold.
const SPARED: [&str; 6] = [
    "tests/fixtures/",
    "tests/cases/",
    "tests/servers/",
    "host/src/store/sql/rendered/",
    "docs/evidence/",
    "migrations/",
];

/// A line that cannot be broken: a table's row, a link, a text in code that the formatter leaves whole, a command's
/// output.
fn is_whole(name: &str, line: &str, in_block: bool) -> bool {
    let is_comment = line.trim_start().starts_with("//");
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "md" => in_block || line.starts_with(['|', '#']) || line.starts_with("    "),
        "rs" => line.starts_with("//! |") || !is_comment && (line.contains('"') || line.ends_with('\\')),
        "toml" => line.contains('"'),
        "json" | "lock" | "wasm" | "wat" => true,
        _ => false,
    }
}

#[test]
fn lines_have_at_most_120_columns() {
    let mut long = Vec::new();
    for (name, path) in tracked_files(&JUDGED) {
        if SPARED.iter().any(|spared| name.starts_with(spared)) {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let mut in_block = false;
        for (number, line) in (1..).zip(text.lines()) {
            in_block ^= line.trim_start().starts_with("```");
            if line.chars().count() > COLUMNS_MAX && !is_whole(&name, line, in_block) {
                long.push(format!("{name}:{number}: {} columns", line.chars().count()));
            }
        }
    }
    assert!(long.is_empty(), "lines over {COLUMNS_MAX} columns:\n{}", long.join("\n"));
}
