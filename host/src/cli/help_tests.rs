//! Compares the help of every command with a snapshot, checks its style, and compares `docs/commands.md` with clap.
//!
//! `UPDATE_EXPECT=1` rewrites the snapshot `tests/cases/cli/help.txt`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::*;

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Every visible command with its path: `["plugin", "list"]`.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    fn collect(words: &[String], command: &clap::Command, found: &mut Vec<(Vec<String>, clap::Command)>) {
        found.push((words.to_vec(), command.clone()));
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            collect(&[words, &[below.get_name().to_owned()]].concat(), below, found);
        }
    }
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    collect(&[], &root, &mut found);
    found
}

/// The long options of a command, without global ones.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter(|argument| !argument.is_global_set() && !argument.is_hide_set());
    let longs = own.filter_map(clap::Arg::get_long).filter(|long| !matches!(*long, "help" | "version"));
    longs.map(|long| format!("--{long}")).collect()
}

#[test]
fn help_of_every_command_matches_its_snapshot() {
    let mut text = String::new();
    for (words, mut command) in commands() {
        let command_line = [&["host".to_owned()][..], &words].concat().join(" ");
        write!(text, "$ {command_line} --help\n{}\n", command.render_help()).unwrap();
    }
    let file = workspace("tests/cases/cli/help.txt");
    expect_test::expect_file![file].assert_eq(text.trim_end_matches('\n'));
}

#[test]
fn help_is_short_and_plain() {
    let mut wrong = Vec::new();
    let mut judge = |name: String, help: Option<&clap::builder::StyledStr>| {
        let text = help.map(ToString::to_string).unwrap_or_default();
        if text.is_empty() || text.chars().count() >= 60 || text.ends_with('.') {
            wrong.push(format!("{name}: {text}"));
        }
    };
    for (words, command) in commands() {
        judge(words.join(" "), command.get_about());
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            judge(format!("{} {}", words.join(" "), argument.get_id()), argument.get_help());
        }
    }
    assert!(wrong.is_empty(), "help is one line of fewer than 60 characters: {wrong:#?}");
}

/// The text below each heading of level 2 that names commands.
fn sections(document: &str) -> Vec<(&str, &str)> {
    let parts = document.split("\n## host ").skip(1);
    parts.filter_map(|part| part.split_once('\n')).collect()
}

#[test]
fn the_commands_page_has_every_command_and_option() {
    let document = std::fs::read_to_string(workspace("docs/commands.md")).unwrap();
    let sections = sections(&document);
    let mut missing = Vec::new();
    for (words, command) in commands() {
        let Some((name, groups)) = words.split_last() else { continue };
        if command.get_subcommands().next().is_some() && words.len() == 1 && words[0] != "conflicts" {
            continue;
        }
        let of_group = |heading: &str| groups.iter().all(|group| heading.starts_with(group.as_str()));
        let has_word =
            |text: &str| text.split(|c: char| c.is_whitespace() || "`,|[]()".contains(c)).any(|word| word == name);
        let own: Vec<_> = sections
            .iter()
            .filter(|(heading, body)| {
                of_group(heading) && (has_word(heading) || (!groups.is_empty() && has_word(body)))
            })
            .collect();
        if own.is_empty() {
            missing.push(words.join(" "));
        }
        let names =
            |option: &String| own.iter().any(|(heading, body)| heading.contains(option) || body.contains(option));
        let untold = options(&command).into_iter().filter(|option| !names(option));
        missing.extend(untold.map(|option| format!("{} {option}", words.join(" "))));
    }
    assert!(missing.is_empty(), "docs/commands.md lacks: {missing:#?}");
}

#[test]
fn the_commands_page_names_no_removed_option() {
    let document = std::fs::read_to_string(workspace("docs/commands.md")).unwrap();
    let known: BTreeSet<String> =
        commands().iter().flat_map(|(_, command)| options(command)).chain(globals()).collect();
    let is_part = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    let named: BTreeSet<&str> = document
        .match_indices("--")
        .filter(|(at, _)| document[..*at].ends_with([' ', '`', '[', '(', '|']))
        .map(|(at, _)| &document[at..at + document[at..].find(|c: char| !is_part(c)).unwrap_or(2)])
        .filter(|option| option.len() > 2 && !option.starts_with("---"))
        .collect();
    assert!(named.len() > 30, "only {} options are named", named.len());
    let gone: Vec<_> = named.into_iter().filter(|option| !known.contains(*option)).collect();
    assert!(gone.is_empty(), "docs/commands.md names options that no command has: {gone:?}");
}

fn globals() -> impl Iterator<Item = String> {
    ["--config", "--log-format", "--reason", "--as", "--help", "--version"].into_iter().map(str::to_owned)
}

#[test]
fn the_commands_page_names_no_removed_command() {
    let document = std::fs::read_to_string(workspace("docs/commands.md")).unwrap();
    let known: BTreeSet<Vec<String>> = commands().into_iter().map(|(words, _)| words).collect();
    let groups: BTreeSet<&String> = known.iter().filter(|words| words.len() == 2).map(|words| &words[0]).collect();
    let mut gone = Vec::new();
    for line in document.lines() {
        for (at, _) in line.match_indices("`host ").chain(line.match_indices("$ host ")) {
            let rest = &line[at + "`host ".len() + usize::from(line[at..].starts_with('$'))..];
            let words: Vec<String> = rest
                .split(|character: char| !character.is_ascii_lowercase() && character != '-')
                .take(2)
                .map(str::to_owned)
                .collect();
            let Some(first) = words.first().filter(|first| !first.is_empty() && *first != "help") else { continue };
            let below = words.get(1).filter(|word| !word.is_empty() && !word.starts_with('-'));
            let command = match below {
                Some(below) if groups.contains(first) => vec![first.clone(), below.clone()],
                _ => vec![first.clone()],
            };
            if first.chars().all(|character| character.is_ascii_lowercase()) && !known.contains(&command) {
                gone.push(command.join(" "));
            }
        }
    }
    assert!(gone.is_empty(), "docs/commands.md names commands that are gone: {gone:?}");
}
