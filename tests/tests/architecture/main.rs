//! Rules of the sources that no compiler checks. Here: the layers of `host/src/lib.rs` (a module uses only what is
//! below it, and `plugin` and `store` never meet). Next to it: circles of modules, the frozen interface, the length of
//! lines, the retired words.

mod circles;
mod image;
mod interface;
mod lines;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::environment::workspace;

/// Each layer with what it may use.
const LAYERS: [(&str, &[&str]); 19] = [
    ("domain", &[]),
    ("files", &[]),
    ("spanned_toml", &["domain", "files"]),
    ("config", &["spanned_toml", "domain", "files"]),
    ("seed_file", &["spanned_toml", "domain", "files"]),
    ("import", &["spanned_toml", "domain", "files"]),
    ("database", &["domain"]),
    ("store", &["database", "domain"]),
    ("plugin", &["database", "domain", "files"]),
    ("distribution", &["spanned_toml", "domain", "files", "plugin"]),
    ("audit", &["config", "domain", "store"]),
    ("service", &["database", "domain", "store"]),
    ("target", &["database", "domain", "plugin"]),
    ("telemetry", &["domain", "store"]),
    ("sync", &["domain", "plugin", "store", "target", "telemetry"]),
    ("alerts", &["domain", "files", "plugin", "store", "telemetry"]),
    ("conformance", &["database", "spanned_toml", "domain", "plugin", "target"]),
    (
        "cli",
        &[
            "alerts",
            "audit",
            "config",
            "conformance",
            "database",
            "domain",
            "files",
            "seed_file",
            "import",
            "plugin",
            "service",
            "store",
            "distribution",
            "sync",
            "target",
            "telemetry",
        ],
    ),
    ("main", &["cli"]),
];

/// The files below these folders that git knows, or would add, by name and path.
fn tracked_files(below: &[&str]) -> Vec<(String, PathBuf)> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"];
    let listed = Command::new("git").args(arguments).args(below).current_dir(workspace()).output();
    let listed = listed.expect("git lists the files");
    assert!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names in UTF-8");
    let names = names.split('\0').filter(|name| !name.is_empty());
    names.map(|name| (name.to_owned(), workspace().join(name))).filter(|(_, path)| path.is_file()).collect()
}

/// The layers as `host/src/lib.rs` and docs/architecture.md show them: a line for each rank, the highest first.
fn picture() -> Vec<String> {
    fn rank(layer: &str) -> usize {
        let below = LAYERS.iter().find(|(name, _)| *name == layer).expect("a layer").1;
        below.iter().map(|layer| rank(layer) + 1).max().unwrap_or(0)
    }
    let mut ranks = std::collections::BTreeMap::<usize, Vec<&str>>::new();
    for (layer, _) in LAYERS {
        ranks.entry(rank(layer)).or_default().push(layer);
    }
    let line = |mut layers: Vec<&str>| {
        layers.sort_unstable();
        layers.join("  ")
    };
    ranks.into_values().rev().map(line).collect()
}

#[test]
fn the_docs_show_the_real_layers() {
    for (file, margin) in [("host/src/lib.rs", "//! "), ("docs/architecture.md", "")] {
        let text = fs::read_to_string(workspace().join(file)).expect(file);
        let lines = [vec!["```text".to_owned()], picture(), vec!["```".to_owned()]].concat();
        let expected = lines.iter().fold(String::new(), |shown, line| shown + margin + line + "\n");
        assert!(text.contains(&expected), "{file} does not show:\n{expected}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let root = workspace().join("host").join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("source");
            (path.strip_prefix(&root).expect("below").to_owned(), text)
        })
        .collect()
}

fn layer_of(path: &Path) -> String {
    let first = path.components().next().expect("a file").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn every_layer_uses_only_lower_layers() {
    let sources = all_sources();
    assert!(sources.len() > 50, "the sources were found");
    for (path, text) in &sources {
        let layer = layer_of(path);
        if layer == "lib" {
            continue;
        }
        let allowed =
            LAYERS.iter().find(|(name, _)| *name == layer).unwrap_or_else(|| panic!("{layer} is in no layer")).1;
        // Unit tests may put a layer together from all that lies below it.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let paths = circles::paths(text);
        for (other, _) in LAYERS.iter().filter(|(other, _)| *other != layer && !allowed.contains(other)) {
            let is_used =
                paths.iter().any(|used| used[0] == "crate" && used.get(1).is_some_and(|first| first == other));
            assert!(!is_used, "{} uses {other}", path.display());
        }
    }
}

#[test]
fn no_two_modules_of_a_folder_use_each_other() {
    let found = circles::circles(&all_sources());
    assert!(found.is_empty(), "circles between modules:\n{}", found.join("\n"));
}

#[test]
fn the_domain_does_no_input_or_output() {
    for (path, text) in all_sources().iter().filter(|(path, _)| layer_of(path) == "domain") {
        for forbidden in ["std::fs", "std::net", "std::env", "tokio::", "sqlx::", "SystemTime", "async fn"] {
            assert!(!text.contains(forbidden), "{} mentions {forbidden}", path.display());
        }
    }
}

#[test]
fn only_the_plugin_layer_knows_wasmtime_and_only_the_database_layer_knows_sqlx() {
    // In a string it is the name of a log's target.
    let knows =
        |text: &str, library: &str| text.match_indices(library).any(|(at, _)| !text[..at].ends_with(['"', ',']));
    for (path, text) in &all_sources() {
        let layer = layer_of(path);
        assert!(layer == "plugin" || !knows(text, "wasmtime::"), "{} knows wasmtime", path.display());
        assert!(layer == "database" || !knows(text, "sqlx::"), "{} knows sqlx", path.display());
    }
}

#[test]
fn every_file_begins_with_a_module_comment() {
    for (path, text) in &all_sources() {
        assert!(text.starts_with("//!"), "{} opens without //!", path.display());
    }
}

/// Outside of tests, every `expect` gives its reason. (`unwrap` is a lint's to refuse.)
#[test]
fn every_expect_states_an_invariant() {
    let is_test =
        |path: &Path| path.iter().any(|part| part.to_string_lossy().trim_end_matches(".rs").ends_with("tests"));
    for (path, text) in all_sources().iter().filter(|(path, _)| !is_test(path)) {
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (at, word) in code.match_indices(".expect(\"").chain(code.match_indices("unreachable!(\"")) {
            let reason = &code[at + word.len()..];
            assert!(reason.starts_with("invariant: "), "{}: {:.60}", path.display(), &code[at..]);
        }
    }
}

/// Every `fn NAME` of the Rust sources below a folder.
fn functions(folder: &Path, found: &mut std::collections::HashSet<String>) {
    let mut files = Vec::new();
    sources(folder, &mut files);
    for file in files {
        let text = fs::read_to_string(file).expect("source");
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        found.extend(names.map(str::to_owned));
    }
}

#[test]
fn every_test_named_in_the_threat_model_exists() {
    let mut known = std::collections::HashSet::new();
    for folder in ["host/src", "host/tests", "tests/tests", "tests/properties", "plugins"] {
        functions(&workspace().join(folder), &mut known);
    }
    let text = fs::read_to_string(workspace().join("docs/security.md")).expect("docs/security.md");
    // In the last cell of a table's row, and in brackets in the text.
    let (rows, prose): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("| ") && line.ends_with(" |"));
    let cells = rows.iter().filter_map(|line| line.trim_end_matches(" |").rsplit_once("| ").map(|(_, cell)| cell));
    let in_cells: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let prose = prose.join(" ");
    let in_brackets = tests_in_brackets(&prose);
    assert!(in_cells.len() > 60, "only {} tests are named in tables", in_cells.len());
    assert!(in_brackets.len() > 15, "only {} tests are named in the text", in_brackets.len());
    let missing: Vec<_> = in_cells.iter().chain(&in_brackets).filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that are not there: {missing:?}");
}

/// Names that stand alone in brackets, as (`a_test_of_this_name`, `another_one_of_them`). Settings do so too: they have
/// fewer words than a test's name.
fn tests_in_brackets(prose: &str) -> Vec<&str> {
    let groups = prose.split('(').skip(1).filter_map(|rest| rest.split_once(')')).map(|(group, _)| group);
    let only_names = |group: &&str| group.split('`').step_by(2).all(|between| matches!(between.trim(), "" | ","));
    let names = groups.filter(only_names).flat_map(|group| group.split('`').skip(1).step_by(2));
    names.filter(|name| name.matches('_').count() >= 3).collect()
}

#[test]
fn test_names_in_parentheses_are_found_in_the_text() {
    let prose = "It warns (`a_warning_is_there`,  `another_warning_is_there`), by two settings (`a_limit_ms`), a word \
                 (see `not_a_test_at_all`) and a list of one (`a_third_name_is_there`).";
    let expected = ["a_warning_is_there", "another_warning_is_there", "a_third_name_is_there"];
    assert_eq!(tests_in_brackets(prose), expected);
}
