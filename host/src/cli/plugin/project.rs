//! The files of a new adapter's project: an example of `plugins/examples/` under another name, with its dependencies.
//!
//! It does no I/O. The tests build and run the examples; a project differs from its example only by the name.

use crate::plugin::World;

/// A language of new adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// With the SDK; a component of about 150 kB
    Rust,
    /// With componentize-py; about 18 MB
    Python,
    /// With componentize-js; about 13 MB
    #[value(name = "javascript")]
    JavaScript,
}

macro_rules! repository {
    ($path:literal) => {
        include_str!(concat!("../../../../", $path))
    };
}

const WIT: [(&str, &str); 6] = [
    ("wit/0.2.0/types.wit", repository!("wit/0.2.0/types.wit")),
    ("wit/0.2.0/database.wit", repository!("wit/0.2.0/database.wit")),
    ("wit/0.2.0/http.wit", repository!("wit/0.2.0/http.wit")),
    ("wit/0.2.0/deps/clocks/clocks.wit", repository!("wit/0.2.0/deps/clocks/clocks.wit")),
    ("wit/0.2.0/deps/http/http.wit", repository!("wit/0.2.0/deps/http/http.wit")),
    ("wit/0.2.0/deps/io/io.wit", repository!("wit/0.2.0/deps/io/io.wit")),
];

/// The SDK expects `wit/0.2.0/` two folders above its own, and `clinical-payload` expects `schemas/` there.
const SDK: [(&str, &str); 38] = [
    ("vendor/adapter-sdk/src/lib.rs", repository!("plugins/sdk/src/lib.rs")),
    ("vendor/adapter-sdk/src/answers.rs", repository!("plugins/sdk/src/answers.rs")),
    ("vendor/adapter-sdk/src/bindings.rs", repository!("plugins/sdk/src/bindings.rs")),
    ("vendor/adapter-sdk/src/clinical.rs", repository!("plugins/sdk/src/clinical.rs")),
    ("vendor/adapter-sdk/src/database.rs", repository!("plugins/sdk/src/database.rs")),
    ("vendor/adapter-sdk/src/fingerprint.rs", repository!("plugins/sdk/src/fingerprint.rs")),
    ("vendor/adapter-sdk/src/http.rs", repository!("plugins/sdk/src/http.rs")),
    ("vendor/adapter-sdk/src/log.rs", repository!("plugins/sdk/src/log.rs")),
    ("vendor/adapter-sdk/src/patient.rs", repository!("plugins/sdk/src/patient.rs")),
    ("vendor/adapter-sdk/src/schema.rs", repository!("plugins/sdk/src/schema.rs")),
    ("vendor/adapter-sdk/src/settings.rs", repository!("plugins/sdk/src/settings.rs")),
    ("vendor/clinical-payload/src/lib.rs", repository!("plugins/clinical/src/lib.rs")),
    ("vendor/clinical-payload/src/checker.rs", repository!("plugins/clinical/src/checker.rs")),
    ("vendor/clinical-payload/src/fhir_resource.rs", repository!("plugins/clinical/src/fhir_resource.rs")),
    ("vendor/clinical-payload/src/json.rs", repository!("plugins/clinical/src/json.rs")),
    ("vendor/clinical-payload/src/own_schema.rs", repository!("plugins/clinical/src/own_schema.rs")),
    ("vendor/clinical-payload/src/patterns.rs", repository!("plugins/clinical/src/patterns.rs")),
    ("vendor/clinical-payload/src/record.rs", repository!("plugins/clinical/src/record.rs")),
    ("vendor/clinical-payload/src/records.rs", repository!("plugins/clinical/src/records.rs")),
    ("vendor/clinical-payload/src/rules.rs", repository!("plugins/clinical/src/rules.rs")),
    ("vendor/clinical-payload/src/schemas.rs", repository!("plugins/clinical/src/schemas.rs")),
    ("vendor/clinical-payload/src/time.rs", repository!("plugins/clinical/src/time.rs")),
    ("schemas/encounter.schema.json", repository!("schemas/encounter.schema.json")),
    ("schemas/condition.schema.json", repository!("schemas/condition.schema.json")),
    ("schemas/allergy.schema.json", repository!("schemas/allergy.schema.json")),
    ("schemas/medication.schema.json", repository!("schemas/medication.schema.json")),
    ("schemas/observation.schema.json", repository!("schemas/observation.schema.json")),
    ("schemas/appointment.schema.json", repository!("schemas/appointment.schema.json")),
    ("schemas/fhir-resource.schema.json", repository!("schemas/fhir-resource.schema.json")),
    ("vendor/patient-payload/src/lib.rs", repository!("plugins/patient/src/lib.rs")),
    ("vendor/patient-payload/src/day.rs", repository!("plugins/patient/src/day.rs")),
    ("vendor/patient-payload/src/field_text.rs", repository!("plugins/patient/src/field_text.rs")),
    ("vendor/patient-payload/src/omb.rs", repository!("plugins/patient/src/omb.rs")),
    ("vendor/patient-payload/src/patient.rs", repository!("plugins/patient/src/patient.rs")),
    ("vendor/patient-payload/src/patient_id.rs", repository!("plugins/patient/src/patient_id.rs")),
    ("vendor/patient-payload/src/payload.rs", repository!("plugins/patient/src/payload.rs")),
    ("vendor/patient-payload/src/rules.rs", repository!("plugins/patient/src/rules.rs")),
    ("vendor/patient-payload/src/words.rs", repository!("plugins/patient/src/words.rs")),
];

const SDK_MANIFEST: &str = r#"# The SDK of the host that made this project; a newer host brings a newer one.
[package]
name = "adapter-sdk"
version = "0.1.0"
edition = "2024"
license = "Apache-2.0"
publish = false

[dependencies]
clinical-payload = { path = "../clinical-payload" }
patient-payload = { path = "../patient-payload" }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
sha2 = { version = "0.11", default-features = false }
wit-bindgen = "0.60"
"#;

const CLINICAL_MANIFEST: &str = r#"# The clinical records in the outbox, and their rules; the SDK hands them on.
[package]
name = "clinical-payload"
version = "0.1.0"
edition = "2024"
license = "Apache-2.0"
publish = false

[dependencies]
patient-payload = { path = "../patient-payload" }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
"#;

const PATIENT_MANIFEST: &str = r#"# A patient in the outbox, and its rules; the SDK hands it on.
[package]
name = "patient-payload"
version = "0.1.0"
edition = "2024"
license = "Apache-2.0"
publish = false

[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
"#;

const MANIFEST: &str = r#"[package]
name = "ADAPTER_NAME"
version = "0.1.0"
edition = "2024"
publish = false

# A project of its own, wherever its folder lies.
[workspace]

[lib]
crate-type = ["cdylib"]
# A component's exports have names that no native linker takes, and doc tests would link one.
doctest = false

[dependencies]
adapter-sdk = { path = "vendor/adapter-sdk" }
serde_json = "1"

# Small, fast, no unwinding.
[profile.release]
lto = "fat"
codegen-units = 1
panic = "abort"
strip = true
"#;

/// Every file by its path in the project's folder.
pub(super) fn files(name: &str, world: World, language: Language) -> Vec<(&'static str, String)> {
    let mut files: Vec<(&str, String)> = WIT.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    if world == World::Database {
        files.push(("tables.sql", named(repository!("plugins/examples/chart.sql"), name)));
    }
    let mut add = |path: &'static str, text: &str| files.push((path, named(text, name)));
    match (language, world) {
        (Language::Rust, _) => {
            add("Cargo.toml", MANIFEST);
            add("vendor/adapter-sdk/Cargo.toml", SDK_MANIFEST);
            add("vendor/clinical-payload/Cargo.toml", CLINICAL_MANIFEST);
            add("vendor/patient-payload/Cargo.toml", PATIENT_MANIFEST);
            for (path, text) in SDK {
                add(path, text);
            }
            add(".gitignore", "/target\n");
        }
        (Language::Python, _) => {
            add("patient.py", repository!("plugins/examples/python/patient.py"));
            add("clinical.py", repository!("plugins/examples/python/clinical.py"));
            add("clinical_types.py", repository!("plugins/examples/python/clinical_types.py"));
            add("requirements.txt", repository!("plugins/examples/python/requirements.txt"));
            add(".gitignore", "/.venv\n__pycache__\n*.wasm\n");
        }
        (Language::JavaScript, _) => {
            add("patient.js", repository!("plugins/examples/javascript/patient.js"));
            add("clinical.js", repository!("plugins/examples/javascript/clinical.js"));
            add("clinical_types.js", repository!("plugins/examples/javascript/clinical_types.js"));
            add("package.json", repository!("plugins/examples/javascript/package.json"));
            add("package-lock.json", repository!("plugins/examples/javascript/package-lock.json"));
            add("build.mjs", repository!("plugins/examples/javascript/build.mjs"));
            add(".gitignore", "/node_modules\n*.wasm\n");
        }
    }
    match (language, world) {
        (Language::Rust, World::Database) => add("src/lib.rs", repository!("plugins/examples/rust-chart/src/lib.rs")),
        (Language::Rust, World::Http) => add("src/lib.rs", repository!("plugins/examples/rust-directory/src/lib.rs")),
        (Language::Python, World::Database) => add("adapter.py", repository!("plugins/examples/python/chart.py")),
        (Language::Python, World::Http) => add("adapter.py", repository!("plugins/examples/python/directory.py")),
        (Language::JavaScript, World::Database) => {
            add("adapter.js", repository!("plugins/examples/javascript/chart.js"));
        }
        (Language::JavaScript, World::Http) => {
            add("adapter.js", repository!("plugins/examples/javascript/directory.js"));
        }
    }
    files.push(("README.md", readme(name, world, language)));
    files
}

/// The commands that build and test the component in the project's folder.
pub(super) fn commands(name: &str, world: World, language: Language) -> Vec<String> {
    let world_name = world.name();
    let (folder, file) = (component_folder(language), component_file(name, language));
    let mut commands = match language {
        Language::Rust => vec![
            "rustup target add wasm32-wasip2".to_owned(),
            "cargo build --release --target wasm32-wasip2".to_owned(),
        ],
        Language::Python => vec![
            "python3 -m venv .venv".to_owned(),
            ".venv/bin/pip install -r requirements.txt".to_owned(),
            format!(".venv/bin/componentize-py -d wit/0.2.0 -w {world_name} componentize adapter -o {file}"),
        ],
        Language::JavaScript => {
            vec!["npm ci".to_owned(), format!("node build.mjs adapter.js wit/0.2.0 {world_name} {file}")]
        }
    };
    let setup = if world == World::Database { " --setup tables.sql" } else { "" };
    commands.push(format!("host plugin test {folder}{file}{setup}"));
    commands
}

/// The build's output folder with a trailing slash; empty for the project's own folder.
fn component_folder(language: Language) -> &'static str {
    match language {
        Language::Rust => "target/wasm32-wasip2/release/",
        Language::Python | Language::JavaScript => "",
    }
}

/// The component's file. Cargo replaces the hyphens of a crate's name by underscores; the other tools keep the name.
fn component_file(name: &str, language: Language) -> String {
    match language {
        Language::Rust => format!("{}.wasm", name.replace('-', "_")),
        Language::Python | Language::JavaScript => format!("{name}.wasm"),
    }
}

/// Replaces the example's name by the adapter's, and the table's name by the same with underscores.
fn named(text: &str, name: &str) -> String {
    text.replace("example-chart", name)
        .replace("example-directory", name)
        .replace("example_chart", &name.replace('-', "_"))
        .replace("ADAPTER_NAME", name)
}

fn readme(name: &str, world: World, language: Language) -> String {
    let file = component_file(name, language);
    let target = match world {
        World::Database => {
            let table = format!("[\"{}\"]", name.replace('-', "_"));
            format!(
                "[targets.{name}.database]\nurl = \"sqlite://target.db\"\n\
                 allow = {{ read = {table}, insert = {table}, update = {table}, delete = {table} }}\n"
            )
        }
        World::Http => format!("[targets.{name}.http]\nbase_url = \"https://directory.example.org/api\"\n"),
    };
    format!(
        "# The adapter {name}\n\nBuild it and try it, in this folder:\n\n{}\n\
         `host plugin test` runs it on a private database or a mock server; each failed line names the fix. For a type of \
         your own\ninstead of patients give it an example of a payload, `--payload TYPE=FILE`: JSON with `${{id}}`, \
         `${{text}}` and `${{number}}`\nin the places of the aggregate's id, a text and a number.\n\n\
         The contract is in `wit/0.2.0/`: every record, field and failure is described there. Two parts are optional: \
         `observe` tells `host verify`\nwhat the target holds, and `{world}-listing` (an interface of its own) what it has \
         that the host does not know.\n\n\
         ## Use it\n\nA `host.toml` in this folder, with the component as a target:\n\n\
         ```toml host.toml\n[store]\nurl = \"sqlite://.host/host.db\"\n\n[plugins]\ndirectory = \".\"\n\n\
         [targets.{name}]\nadapter = \"{file}\"\n\n{target}```\n\n{}\n\
         `host check` looks at the target through it, `host run` delivers.\n",
        console(&commands(name, world, language)),
        console(&commands_of_use(name, world, language)),
        world = match world {
            World::Database => "database",
            World::Http => "http",
        },
    )
}

/// The commands that use the component.
fn commands_of_use(name: &str, world: World, language: Language) -> Vec<String> {
    let mut commands = Vec::new();
    let folder = component_folder(language);
    if !folder.is_empty() {
        commands.push(format!("cp {folder}{} .", component_file(name, language)));
    }
    if world == World::Database {
        commands.push("sqlite3 target.db < tables.sql".to_owned());
    }
    commands.push("host migrate".to_owned());
    if world == World::Database {
        // The other example's server does not exist, so nothing can be delivered.
        commands.push("host check".to_owned());
    }
    commands
}

fn console(commands: &[String]) -> String {
    let lines: Vec<_> = commands.iter().map(|command| format!("$ {command}\n")).collect();
    format!("```console\n{}```\n", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_the_file_that_the_build_writes() {
        for (language, file) in [
            (Language::Rust, "phone_book.wasm"),
            (Language::Python, "phone-book.wasm"),
            (Language::JavaScript, "phone-book.wasm"),
        ] {
            let text = readme("phone-book", World::Database, language);
            assert!(text.contains(&format!("\nadapter = \"{file}\"\n")), "{language:?}: {text}");
            assert!(text.contains(&format!("{file} --setup tables.sql")), "{language:?}: {text}");
        }
    }

    #[test]
    fn a_new_project_keeps_no_name_of_the_example() {
        for world in [World::Database, World::Http] {
            for language in [Language::Rust, Language::Python, Language::JavaScript] {
                for (path, text) in files("phone-book", world, language) {
                    for word in ["example-", "example_chart", "ADAPTER_NAME"] {
                        // Files in `wit/` contain examples of their own.
                        assert!(path.starts_with("wit/") || !text.contains(word), "{path} holds {word}");
                    }
                }
            }
        }
    }
}
