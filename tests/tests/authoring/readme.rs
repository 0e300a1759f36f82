//! Pages for an adapter's author, run word for word: every command of a block that begins with three backticks and
//! `console`, in order, in one folder; and every file whose block names it (`toml host.toml`).
//!
//! What a command prints on stdout must be what the page shows below it. `...` stands for whatever is there: alone on a
//! line for some lines, within a line for some text. A duration in a summary is not compared.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::environment::{host_binary, target_directory, workspace};

/// One block of a page.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// Commands, each with the lines that it prints.
    Console(Vec<(String, Vec<String>)>),
    /// A file's path and text.
    File(String, String),
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match info.split_once(' ') {
            None if info == "console" => blocks.push(Block::Console(commands(&text))),
            Some((_, file)) => blocks.push(Block::File(file.to_owned(), text.join("\n") + "\n")),
            None => {}
        }
    }
    blocks
}

fn commands(text: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in text {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, printed))) => printed.push((*line).to_owned()),
            (None, None) => panic!("a console block begins with a command, not with `{line}`"),
        }
    }
    commands
}

/// A folder in which a page is run.
struct PageRun {
    folder: tempfile::TempDir,
    /// Where the commands are, after `cd`.
    current: PathBuf,
    /// `host` and what else the page takes to be on the `PATH`.
    path: std::ffi::OsString,
}

impl PageRun {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut path = host_binary().parent().expect("a folder").as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Self { current: folder.path().to_owned(), folder, path }
    }

    fn read(&mut self, page: &str) {
        let blocks = blocks(page);
        assert!(blocks.iter().any(|block| matches!(block, Block::Console(_))), "a page without commands");
        for block in blocks {
            match block {
                Block::File(file, text) => fs::write(self.current.join(&file), text).expect(&file),
                Block::Console(commands) => {
                    for (command, printed) in commands {
                        self.run(&command, &printed);
                    }
                }
            }
        }
    }

    fn run(&mut self, command: &str, expected: &[String]) {
        if let Some(folder) = command.strip_prefix("cd ") {
            self.current = self.current.join(folder).canonicalize().expect(command);
            return;
        }
        self.share_what_is_compiled();
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.current)
            .env("PATH", &self.path)
            // What the page downloads is on this machine already.
            .env("CARGO_NET_OFFLINE", "true")
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .output()
            .expect("a shell");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "$ {command}\n{stdout}{stderr}");
        let folder = self.folder.path().canonicalize().expect("the folder");
        let printed = stdout.replace(&*folder.to_string_lossy(), "/home/you/adapters");
        let printed: Vec<_> = printed.lines().collect();
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        // A page need not show what a command prints; what it shows must be so.
        assert!(
            expected.is_empty() || prints(&expected, &printed),
            "$ {command}\nexpected:\n{}\nprinted:\n{}",
            expected.join("\n"),
            printed.join("\n")
        );
    }

    /// The packages of the registry are compiled once, not for each page. The project itself is built as the page
    /// tells.
    fn share_what_is_compiled(&self) {
        let target = self.current.join("target");
        if self.current.join("Cargo.toml").is_file() && !target.exists() {
            let shared = target_directory().join("example-tools").join("rust");
            fs::create_dir_all(&shared).expect("a folder");
            std::os::unix::fs::symlink(shared, target).expect("a link");
        }
    }
}

/// Whether these lines were printed.
fn prints(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((&"...", rest)) => (0..=printed.len()).any(|skipped| prints(rest, &printed[skipped..])),
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| is_line(line, first) && prints(rest, others))
        }
    }
}

fn is_line(expected: &str, printed: &str) -> bool {
    if let (Some(_), Some(_)) = (expected.strip_prefix("[Run Summary] "), printed.strip_prefix("[Run Summary] ")) {
        return true;
    }
    let mut parts = expected.split("...");
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut is_open = false;
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        (rest, is_open) = (behind, part.is_empty());
    }
    rest.is_empty() || is_open
}

#[test]
fn shown_output_is_compared_with_printed_output() {
    let printed = ["one", "two 17 b", "three"];
    for (expected, is_so) in [
        (&["one", "two 17 b", "three"][..], true),
        (&["one", "two ... b", "three"], true),
        (&["one", "two ...", "..."], true),
        (&["...", "three"], true),
        (&["...", "two"], false),
        (&["one", "...", "two"], false),
        (&["one", "two 17 b"], false),
        (&["one", "two 18 b", "three"], false),
    ] {
        assert_eq!(prints(expected, &printed), is_so, "{expected:?}");
    }
    let page = "text\n```console\n$ a b\nc\n$ d\n```\n```toml host.toml\nx = 1\n```\n```toml\ny = 1\n```\n";
    let console = vec![("a b".to_owned(), vec!["c".to_owned()]), ("d".to_owned(), Vec::new())];
    assert_eq!(blocks(page), [Block::Console(console), Block::File("host.toml".to_owned(), "x = 1\n".to_owned())]);
}

#[test]
fn the_authors_page_works_exactly_as_written() {
    let page = fs::read_to_string(workspace().join("plugins").join("README.md")).expect("the page");
    PageRun::new().read(&page);
    let source = workspace().join("plugins").join("testing").join("laboratory").join("src").join("lib.rs");
    let source = fs::read_to_string(source).expect("the source");
    assert!(
        page.contains(&format!("```rust laboratory/src/lib.rs\n{source}```\n")),
        "the page's laboratory is not that of plugins/testing/laboratory"
    );
}

#[test]
fn the_page_on_a_type_of_ones_own_works_exactly_as_written() {
    let page = fs::read_to_string(workspace().join("docs").join("own-type.md")).expect("the page");
    PageRun::new().read(&page);
    let project = workspace().join("plugins").join("testing").join("radiology");
    for (language, file) in [
        ("json", "radiology_report.schema.json"),
        ("rust", "src/lib.rs"),
        ("rust", "src/patients.rs"),
        ("rust", "src/reports.rs"),
    ] {
        let text = fs::read_to_string(project.join(file)).expect(file);
        let block = format!("```{language} radiology/{file}\n{text}```\n");
        assert!(page.contains(&block), "the page's {file} is not that of plugins/testing/radiology");
    }
}

/// What `host plugin new` writes, read as its author reads it. Those in Python and JavaScript take their tools from a
/// package index. One of each is read, which together have both worlds; `projects.rs` compares the files of all.
fn read_project(name: &str, world: &str, language: &str) {
    let mut reader = PageRun::new();
    reader.run(&format!("host plugin new {name} --world {world} --lang {language}"), &[]);
    reader.run(&format!("cd {name}"), &[]);
    let page = fs::read_to_string(reader.current.join("README.md")).expect("the project's page");
    reader.read(&page);
}

#[test]
fn the_readme_of_a_database_project_works_exactly_as_written() {
    read_project("ward-chart", "database-target", "rust");
}

#[test]
fn the_readme_of_an_http_project_works_exactly_as_written() {
    read_project("ward-web", "http-target", "rust");
}

#[test]
fn the_readme_of_a_python_project_works_exactly_as_written() {
    read_project("ward-python", "database-target", "python");
}

#[test]
fn the_readme_of_a_javascript_project_works_exactly_as_written() {
    read_project("ward-javascript", "http-target", "javascript");
}
