//! Within these folders no two modules use each other, not even by way of others: each can be read after those it uses.
//!
//! Uses are found by their text: `super::NAME`, and `crate::FOLDER::NAME`, in code that is not a test's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tests::environment::workspace;

/// Folders of `host/src`. Add one as soon as it has no circle.
const FREE_OF_CIRCLES: [&str; 9] =
    ["cli", "cli/plugin", "config", "conformance", "domain", "import", "seed_file", "service", "spanned_toml"];

type Uses = BTreeMap<String, BTreeSet<String>>;

/// The names in `text` directly behind each `before`, those of a list in braces too.
fn names_behind(text: &str, before: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices(before) {
        let rest = &text[at + before.len()..];
        match rest.strip_prefix('{').and_then(|list| list.split_once('}')) {
            Some((list, _)) => names.extend(list.split(',').map(|item| word(item.trim()))),
            None => drop(names.insert(word(rest))),
        }
    }
    names
}

/// Which module of the folder uses which, re-exports followed.
fn uses(folder: &str) -> Uses {
    let root = workspace().join("host/src").join(folder);
    let declared = fs::read_to_string(root.join("mod.rs")).expect("mod.rs");
    let is_module = |name: &str| root.join(format!("{name}.rs")).is_file() || root.join(name).is_dir();
    let modules: BTreeSet<String> =
        names_behind(&declared, "\nmod ").into_iter().chain(names_behind(&declared, "\npub mod ")).collect();
    let modules: BTreeSet<String> = modules.into_iter().filter(|name| is_module(name) && name != "tests").collect();
    let owner_of = |name: &String| {
        let reexported = |module: &&String| names_behind(&declared, &format!("use {module}::")).contains(name);
        modules.get(name).or_else(|| modules.iter().find(reexported))
    };
    let own_path = format!("crate::{}::", folder.replace('/', "::"));
    let of = |module: &String| {
        let mut files = Vec::new();
        let (file, below) = (root.join(format!("{module}.rs")), root.join(module));
        if file.is_file() {
            files.push(file);
        }
        if below.is_dir() {
            super::sources(&below, &mut files);
        }
        let mut names = BTreeSet::new();
        for file in files.iter().filter(|file| !is_test(file)) {
            let text = fs::read_to_string(file).expect("source");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            names.extend(names_behind(text, &own_path));
            // In a folder below, `super` is that folder.
            if file.parent() == Some(root.as_path()) {
                names.extend(names_behind(text, "super::"));
            }
        }
        let used = names.iter().filter_map(owner_of).filter(|used| *used != module).cloned();
        (module.clone(), used.collect())
    };
    modules.iter().map(of).collect()
}

fn is_test(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

/// Takes modules away that use only what was taken before; what stays is in a circle, or uses one.
fn in_circles(mut uses: Uses) -> Uses {
    loop {
        let free: BTreeSet<String> =
            uses.iter().filter(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()).collect();
        if free.is_empty() {
            return uses;
        }
        uses.retain(|module, _| !free.contains(module));
        uses.values_mut().for_each(|used| used.retain(|module| !free.contains(module)));
    }
}

#[test]
fn modules_of_these_folders_have_no_circle() {
    for folder in FREE_OF_CIRCLES {
        let uses = uses(folder);
        let found: usize = uses.values().map(BTreeSet::len).sum();
        assert!(
            found > 0 || ["domain", "seed_file", "service"].contains(&folder),
            "no use was found in host/src/{folder}"
        );
        if folder == "cli" {
            assert!(uses["status"].contains("status_summary") && uses["run"].contains("wiring"), "{uses:?}");
        }
        let circles = in_circles(uses);
        assert!(circles.is_empty(), "host/src/{folder} has a circle: {circles:?}");
    }
}

#[test]
fn a_circle_is_found() {
    let uses = |pairs: &[(&str, &[&str])]| -> Uses {
        pairs
            .iter()
            .map(|(name, used)| ((*name).to_owned(), used.iter().map(|name| (*name).to_owned()).collect()))
            .collect()
    };
    assert!(in_circles(uses(&[("a", &["b"]), ("b", &["c"]), ("c", &[])])).is_empty());
    let circle = in_circles(uses(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])]));
    assert_eq!(circle.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}
