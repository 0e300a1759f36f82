//! Which modules of one folder use each other, read from the paths in their sources. It knows as much of Rust as that
//! takes: `use` trees, paths that begin with `crate` or `super`, and what a `mod.rs` re-exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A path of modules, from the root of the crate.
type ModulePath = Vec<String>;

struct Module {
    path: ModulePath,
    /// Whether it is the `mod.rs` of its folder.
    is_folder: bool,
    /// Without comments and tests.
    text: String,
}

/// Modules that are in a circle, each with what it uses in its folder.
pub(crate) fn circles(sources: &[(PathBuf, String)]) -> Vec<String> {
    let modules: Vec<Module> = sources.iter().filter_map(|(path, text)| module(path, text)).collect();
    let folders: BTreeSet<ModulePath> =
        modules.iter().flat_map(|module| (0..module.path.len()).map(|depth| module.path[..depth].to_vec())).collect();
    folders.iter().flat_map(|folder| circles_in(folder, &modules)).collect()
}

fn module(file: &std::path::Path, text: &str) -> Option<Module> {
    let mut path: ModulePath = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = path.last()?.clone();
    if path.iter().any(|part| part.ends_with("tests")) || last == "main" || last == "lib" {
        return None;
    }
    let is_folder = last == "mod";
    if is_folder {
        path.pop();
    }
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    Some(Module { path, is_folder, text: lines.collect::<Vec<_>>().join("\n") })
}

fn circles_in(folder: &[String], modules: &[Module]) -> Vec<String> {
    let below = |module: &&Module| module.path.len() > folder.len() && module.path.starts_with(folder);
    let names: BTreeSet<&str> = modules.iter().filter(below).map(|module| module.path[folder.len()].as_str()).collect();
    let exported = modules.iter().find(|module| module.is_folder && module.path == folder).map(re_exports);
    let exported = exported.unwrap_or_default();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for module in modules.iter().filter(below) {
        let from = module.path[folder.len()].as_str();
        for path in paths(&module.text).iter().filter_map(|path| absolute(path, &module.path)) {
            let Some(name) = path.strip_prefix(folder).and_then(<[String]>::first) else { continue };
            let to = names.get(name.as_str()).copied();
            let to = to.or_else(|| names.get(exported.get(name)?.as_str()).copied());
            uses.entry(from).or_default().extend(to.filter(|to| *to != from));
        }
    }
    let folder = folder.join("/");
    let found = names.iter().filter(|name| reached(name, &uses).contains(**name));
    found.map(|name| format!("{folder}: {name} -> {:?}", uses[*name])).collect()
}

/// Every module that one uses, and what those use.
fn reached<'a>(from: &str, uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = uses.get(from).into_iter().flatten().copied().collect();
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            next.extend(uses.get(name).into_iter().flatten());
        }
    }
    seen
}

/// From the root of the crate.
fn absolute(path: &[String], module: &[String]) -> Option<ModulePath> {
    if path.first()? == "crate" {
        return Some(path[1..].to_vec());
    }
    let up = path.iter().take_while(|part| *part == "super").count();
    let base = module.len().checked_sub(up)?;
    Some([&module[..base], &path[up..]].concat())
}

/// Every path in a text that begins with `crate` or `super`.
pub(crate) fn paths(text: &str) -> Vec<ModulePath> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = ["crate::", "super::"].iter().filter_map(|word| rest.find(word)).min() {
        let is_word = !rest[..at].ends_with(|before: char| before.is_alphanumeric() || "_:$".contains(before));
        let end = if is_word { tree(&rest[at..], &[], &mut found) } else { "crate::".len() };
        rest = &rest[at + end..];
    }
    found
}

/// What a folder gives out under names of its own: the module that each comes from.
fn re_exports(folder: &Module) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, _) in folder.text.match_indices(" use ").filter(|(at, _)| folder.text[..*at].ends_with(['b', ')'])) {
        let mut leaves = Vec::new();
        tree(&folder.text[at + " use ".len()..], &[], &mut leaves);
        for leaf in leaves {
            let first = usize::from(leaf.first().is_some_and(|part| part == "self"));
            if let (Some(module), Some(name)) = (leaf.get(first), leaf.last()) {
                found.insert(name.clone(), module.clone());
            }
        }
    }
    found
}

/// Reads one `use` tree or path at the beginning of a text: its leaves, and where it ends.
fn tree(text: &str, prefix: &[String], leaves: &mut Vec<ModulePath>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        let word: String = text[at..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        at += word.len();
        if word.is_empty() {
            break;
        }
        path.push(word);
        if !text[at..].starts_with("::") {
            break;
        }
        at += "::".len();
        if text[at..].starts_with('{') {
            at += 1;
            while !text[at..].is_empty() && !text[at..].starts_with('}') {
                let read = tree(&text[at..], &path, leaves);
                at += read.max(text[at..].chars().next().map_or(1, char::len_utf8));
            }
            return at + 1;
        }
    }
    if path.len() > prefix.len() {
        leaves.push(path);
    }
    at
}

#[test]
fn module_paths_are_read_from_use_trees_and_code() {
    let text =
        "use super::{a, b::{C, d}};\nuse crate::x::Y as Z;\nfn f() -> super::super::e::F { mysuper::g(crate::h::i()) }";
    let joined: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(joined, ["super::a", "super::b::C", "super::b::d", "crate::x::Y", "super::super::e::F", "crate::h::i"]);
}

#[test]
fn a_cycle_is_found_through_a_third_module_and_a_re_export() {
    let source = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let mut sources = vec![
        source("m/mod.rs", "mod a;\npub use c::Third as Gone;\npub use c::Third;"),
        source("m/a.rs", "use super::b::B;"),
        source("m/b.rs", "use super::Third;\n// use super::a::A;"),
        source("m/c.rs", "//! Nothing\n#[cfg(test)]\nmod tests { use super::super::a::A; }"),
    ];
    assert_eq!(circles(&sources), Vec::<String>::new());
    sources[3].1 = "use super::a::A;".to_owned();
    assert_eq!(circles(&sources), ["m: a -> {\"b\"}", "m: b -> {\"c\"}", "m: c -> {\"a\"}"]);
}
