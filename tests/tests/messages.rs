//! The operator's pages quote messages of the host and of the adapters. A quoted message that no source holds any more
//! fails here, so that an operator can search the page for what the screen shows.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use tests::environment::workspace;

/// Words in a row that a quotation and a string literal must share.
const WINDOW: usize = 2;

/// Put together from words that are apart in the sources, or the operating system's own.
const ASSEMBLED: [&str; 3] = ["created_at of N changes", "breaker half-open", "failed to lookup address information"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The string literals of a source, without its comments.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("'\"'", "' '");
    let (mut found, mut literal, mut inside) = (Vec::new(), String::new(), false);
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        match (inside, character) {
            (_, '"') => {
                inside = !inside;
                found.extend((!inside).then(|| std::mem::take(&mut literal)));
            }
            (true, '\\') => match characters.next() {
                Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped) => literal.push(escaped),
                None => {}
            },
            (true, _) => literal.push(character),
            (false, _) => {}
        }
    }
    found
}

/// The runs of plain words in a text: a placeholder, a number, a name in capitals or an ellipsis ends a run.
fn windows(text: &str) -> Vec<String> {
    let is_plain = |word: &str| {
        let letters = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_placeholder = word.contains(['{', '}', '`', '[', ']', '<']) || word.contains("...");
        let is_name = letters.len() > 1 && letters.chars().all(char::is_uppercase);
        let is_written = letters.chars().all(|c| c.is_lowercase() || "'-:;,".contains(c) || letters.starts_with(c));
        !letters.is_empty() && !is_placeholder && !is_name && is_written
    };
    let trim = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let runs = words.windows(WINDOW).filter(|window| window.iter().all(|word| is_plain(word)));
    runs.map(|window| window.iter().map(|word| trim(word)).collect::<Vec<_>>().join(" ")).collect()
}

/// What is in backticks in the first cells of a page's tables; two backticks enclose one that holds backticks
/// itself.
fn quoted(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split("`, `").map(|message| message.replace('`', " ` ")).collect::<Vec<_>>()).collect()
}

fn known() -> HashSet<String> {
    let mut files = Vec::new();
    for folder in ["host/src", "plugins"] {
        sources(&workspace().join(folder), &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("source"));
    texts.flat_map(|text| literals(&text)).flat_map(|literal| windows(&literal)).collect()
}

/// At least half of the message's runs: the rest may be filled in where the message is made.
fn is_held(message: &str, known: &HashSet<String>) -> bool {
    let windows = windows(message);
    // One word alone, as `paused`, is in many sources.
    windows.iter().filter(|window| known.contains(*window)).count() * 2 >= windows.len()
}

#[test]
fn every_message_quoted_in_the_operations_pages_exists() {
    let known = known();
    assert!(known.len() > 3_000, "only {} runs of words: the literals were not found", known.len());
    let mut missing = Vec::new();
    for page in ["docs/operations.md", "docs/ko/operations.md"] {
        let text = fs::read_to_string(workspace().join(page)).expect(page);
        let messages = quoted(&text);
        assert!(messages.len() > 60, "{page}: only {} messages were found", messages.len());
        for message in messages {
            if !is_held(&message, &known) && !ASSEMBLED.iter().any(|words| message.contains(words)) {
                missing.push(format!("{page}: {message}"));
            }
        }
    }
    assert!(missing.is_empty(), "no source has this:\n{}", missing.join("\n"));
}

#[test]
fn a_message_in_no_source_is_reported() {
    let known = known();
    assert!(is_held("the server offers no TLS: ...", &known));
    assert!(!is_held("the giraffe ate ripe leaves of every lease", &known));
}
