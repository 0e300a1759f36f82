//! `host plugin new`: what it writes in Python and JavaScript is the examples, and nothing is written over. The
//! projects in Rust are built and tried as their own pages say, in `readme.rs`.

use std::fs;
use std::path::Path;

use tests::environment::workspace;
use tests::host::Host;

use crate::host;

fn begin(host: &Host, name: &str, world: &str, language: &str) {
    let _ = host.run(&["plugin", "new", name, "--world", world, "--lang", language]).expect_success();
}

fn same(host: &Host, generated: &str, example: &str) {
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let example = workspace().join("plugins").join("examples").join(example);
    assert_eq!(read(&host.folder().join(generated)), read(&example), "{generated}");
}

/// The examples' components are built by the very commands of such a project, and pass the suite in `conformance.rs`.
#[test]
fn a_new_python_or_javascript_project_is_the_renamed_example() {
    let host = host();
    for (language, file) in [("python", "py"), ("javascript", "js")] {
        for (name, world) in [("chart", "database-target"), ("directory", "http-target")] {
            let project = format!("example-{name}");
            begin(&host, &project, world, language);
            same(&host, &format!("{project}/adapter.{file}"), &format!("{language}/{name}.{file}"));
            for module in ["patient", "clinical", "clinical_types"] {
                same(&host, &format!("{project}/{module}.{file}"), &format!("{language}/{module}.{file}"));
            }
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
fn a_new_project_overwrites_nothing_and_an_invalid_name_is_refused() {
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
