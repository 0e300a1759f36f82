//! `host plugin new`: what it writes builds and passes the suite, in every language and world.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::environment::{target_directory, workspace};
use tests::host::Host;

use crate::{conformance, failed, host};

fn begin(host: &Host, name: &str, world: &str, language: &str) {
    let _ = host.run(&["plugin", "new", name, "--world", world, "--lang", language]).expect_success();
}

fn same(host: &Host, generated: &str, example: &str) {
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let example = workspace().join("plugins").join("examples").join(example);
    assert_eq!(read(&host.folder().join(generated)), read(&example), "{generated}");
}

/// Built as the project's own README describes, apart from the network.
fn build(project: &Path, name: &str) -> std::path::PathBuf {
    // One folder for all, so that the SDK is compiled once.
    let target = target_directory().join("example-tools").join("rust");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--offline", "--release", "--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
    let output = command.current_dir(project).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("wasm32-wasip2").join("release").join(format!("{}.wasm", name.replace('-', "_")))
}

#[test]
fn a_project_in_rust_builds_and_passes() {
    let host = host();
    for (name, world, more) in [
        ("phone-book", "database-target", &["--setup", "phone-book/tables.sql"][..]),
        ("phone-web", "http-target", &[][..]),
    ] {
        begin(&host, name, world, "rust");
        let component = build(&host.folder().join(name), name);
        let (output, said) = conformance(&host, &component, more);
        assert_eq!(failed(&said), Vec::<String>::new(), "{name}");
        assert_eq!(said["adapter"], format!("{name} 0.1.0"));
        assert_eq!(output.status, Some(0), "{name}");
        let readme = fs::read_to_string(host.folder().join(name).join("README.md")).expect("the project's README");
        let file = component.file_name().expect("a file").to_string_lossy();
        assert!(readme.contains(&format!("adapter = \"{file}\"")), "{name}: {readme}");
    }
}

/// The examples' components are built by the very commands of such a project, and pass the suite in `conformance.rs`.
#[test]
fn a_project_in_python_or_javascript_is_the_example_by_another_name() {
    let host = host();
    for (language, file) in [("python", "py"), ("javascript", "js")] {
        for (name, world) in [("chart", "database-target"), ("directory", "http-target")] {
            let project = format!("example-{name}");
            begin(&host, &project, world, language);
            same(&host, &format!("{project}/adapter.{file}"), &format!("{language}/{name}.{file}"));
            same(&host, &format!("{project}/patient.{file}"), &format!("{language}/patient.{file}"));
            if language == "javascript" {
                same(&host, &format!("{project}/package-lock.json"), "javascript/package-lock.json");
                same(&host, &format!("{project}/build.mjs"), "javascript/build.mjs");
            } else {
                same(&host, &format!("{project}/requirements.txt"), "python/requirements.txt");
            }
            fs::remove_dir_all(host.folder().join(project)).expect("remove");
        }
    }
}

#[test]
fn nothing_is_written_over_and_a_bad_name_is_told() {
    let host = host();
    let output = host.run(&["plugin", "new", "Phone_Book", "--world", "http-target", "--lang", "rust"]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("cannot be an adapter's name"), "{}", output.stderr);
    fs::create_dir(host.folder().join("taken")).expect("make");
    fs::write(host.folder().join("taken").join("mine"), "mine").expect("write");
    let output = host.run(&["plugin", "new", "taken", "--world", "http-target", "--lang", "rust"]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("is not empty"), "{}", output.stderr);
    assert_eq!(fs::read_dir(host.folder().join("taken")).expect("read").count(), 1);
}
