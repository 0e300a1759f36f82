//! What commands print, as snapshots in `tests/cases/cli`, with paths, digests and times masked.
//!
//! `UPDATE_EXPECT=1 cargo xtask test snapshot` writes them anew: read the difference before you commit it. The help of
//! every command is a snapshot of the same kind in `host/src/cli/help_tests.rs`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::{Backend, adapter, fixture, workspace};
use tests::host::{Configuration, Host};

use super::write;

/// A host and what its commands have printed so far.
struct Transcript {
    host: Host,
    text: String,
}

impl Transcript {
    fn of(configuration: &Configuration) -> Self {
        let host = Host::new(configuration).expect("host").with_variable("RUST_LOG", "off");
        Self { host, text: String::new() }
    }

    /// Runs a command and adds it with its output and exit code.
    fn run(&mut self, line: &str) {
        let arguments: Vec<_> = line.split(' ').map(|word| word.replace('_', " ")).collect();
        let output = self.host.run(&arguments);
        let shown = match serde_json::from_str::<Value>(&output.stdout) {
            Ok(Value::Object(object)) if line.contains("--json") => {
                let mut object = Value::Object(object);
                mask_json(&mut object);
                serde_json::to_string_pretty(&object).expect("JSON") + "\n"
            }
            _ => output.stdout,
        };
        let exit_code = output.status.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let printed = self.masked(&format!("{shown}{}", output.stderr));
        writeln!(self.text, "$ host {line}\n{printed}(exit code {exit_code})\n").expect("a String takes text");
    }

    /// The same, of a command whose output does not matter here.
    fn run_silently(&self, arguments: &[&str]) {
        drop(self.host.run(arguments).expect_success());
    }

    fn masked(&self, text: &str) -> String {
        let folder = self.host.folder().to_string_lossy().into_owned();
        let adapters = adapter("openemr").parent().expect("a folder").to_string_lossy().into_owned();
        let text = text.replace(&folder, "FOLDER").replace(&adapters, "ADAPTERS");
        text.split_inclusive('\n').map(mask_line).collect()
    }

    fn expect(&self, name: &str) {
        let file = workspace().join("tests/cases/cli").join(name);
        expect_test::expect_file![file].assert_eq(self.text.trim_end_matches('\n'));
    }
}

/// Masks digests, sizes and times of a line.
fn mask_line(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for index in 0..words.len() {
        if let Some((before, digest)) = words[index].split_once("sha256:") {
            let rest = digest.trim_start_matches(|character: char| character.is_ascii_hexdigit());
            words[index] = format!("{before}sha256:DIGEST{}", rest.trim_start_matches("..."));
        }
        let is_number = |word: &str| word.parse::<f64>().is_ok();
        // Migrations are added, and keys are random.
        if index > 1 && words[index - 2] == "schema" && words[index - 1] == "version" {
            words[index] = words[index].replace(|character: char| character.is_ascii_digit(), "N");
        } else if words[index].starts_with("[\"RW") || (index > 1 && words[index - 2..index] == ["by", "key"]) {
            words[index] = format!("KEY{}", if words[index].ends_with('\n') { "\n" } else { "" });
        } else if words.get(index + 1).is_some_and(|next| next == "applied") {
            "(N".clone_into(&mut words[index]);
        }
        let before = index.checked_sub(1).map(|before| words[before].clone()).unwrap_or_default();
        if before == "host" && words[index].matches('-').count() >= 2 {
            "HOST,".clone_into(&mut words[index]);
        } else if before == "event" && words[index].trim_end().len() == 36 {
            words[index] =
                words[index].replace(|character: char| character.is_ascii_hexdigit() || character == '-', "");
            words[index].insert_str(0, "EVENT");
        }
        if words[index].len() == 10 && words[index].starts_with("20") && words[index].contains('-') {
            "DATE".clone_into(&mut words[index]);
        } else if words[index].len() == 8 && words[index].matches(':').count() == 2 {
            "TIME".clone_into(&mut words[index]);
        }
        let Some(next) = words.get(index + 1).cloned() else { continue };
        let unit = next.trim_matches(|character: char| !character.is_ascii_alphabetic());
        let number = words[index].trim_start_matches('(');
        if is_number(number) && matches!(unit, "ms" | "s" | "min" | "h" | "bytes") {
            let mask = if unit == "bytes" { "SIZE" } else { "AGE" };
            words[index] = words[index].replace(number, mask);
            if unit != "bytes" {
                words[index + 1] = next.replace(unit, "UNIT");
            }
        }
    }
    words.join(" ")
}

/// Masks the values of a JSON object that differ between two runs.
fn mask_json(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let is_volatile = key.ends_with("_ms")
                    || key.ends_with("_at")
                    || matches!(
                        key.as_str(),
                        "at" | "host"
                            | "event_id"
                            | "finished_at"
                            | "last_at"
                            | "failed_at"
                            | "sha256"
                            | "per_second"
                            | "bytes"
                    );
                if is_volatile && !value.is_null() {
                    *value = json!("MASKED");
                } else {
                    mask_json(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_json),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const TWO_DISABLED: &str = "\n[targets.fhir]\nadapter = \"a.wasm\"\nenabled = false\n[targets.fhir.http]\n\
    base_url = \"https://fhir.example/\"\n[targets.openemr]\nadapter = \"b.wasm\"\nenabled = false\n\
    [targets.openemr.database]\nurl = \"sqlite://openemr.db\"\n";

fn store() -> Configuration {
    Configuration::new("sqlite://.host/host.db")
}

#[test]
fn snapshot_of_errors_in_files() {
    let mut transcript = Transcript::of(&store());
    transcript.run_silently(&["migrate"]);
    let header = "patient_id,family_name,given_name,birth_date,gender,colour\n";
    for (name, content) in [
        (
            "seed.toml",
            "[[patients]]\npatient_id = \"P 1\"\nbirth_date = 1980-02-31\ngender = \"man\"\ncolour = \"red\"\n",
        ),
        ("empty.toml", ""),
        ("patients.csv", header),
        ("map.toml", "date_format = \"%y\"\n[columns]\ncolour = \"color\"\n"),
        ("patient.json", "{\"patient_id\": \"P-1\", \"colour\": \"red\"}"),
        ("text.wasm", "hello"),
        ("core.wasm", "\0asm\u{1}\0\0\0"),
    ] {
        write(&transcript.host, name, content.as_bytes());
    }
    for line in [
        "seed seed.toml",
        "seed empty.toml",
        "seed missing.toml",
        "import patients.csv",
        "import patients.csv --map-file map.toml",
        "import patients.csv --map colour=color",
        "import patients.xlsx",
        "patient put patient.json",
        "patient show P-9",
        "plugin inspect text.wasm",
        "plugin inspect core.wasm",
        "plugin inspect missing.wasm",
    ] {
        transcript.run(line);
    }
    for text in [
        "[store]\nurl = \"sqlite://x.db\"\ncolour = 1\n[sinc]\n",
        "[store]\nurl = \"oracle://x\"\n[targets.a]\nadaptor = \"a.wasm\"\n",
        "[store]\nurl = \"${NO_SUCH_VARIABLE}\"\n[sync]\nbatch = 0\n",
        "[store\n",
    ] {
        write(&transcript.host, "host.toml", text.as_bytes());
        transcript.run("check");
    }
    std::fs::remove_file(transcript.host.folder().join("host.toml")).expect("remove");
    transcript.run("status");
    transcript.expect("errors_in_files.txt");
}

#[test]
fn snapshot_of_errors_in_usage() {
    let mut transcript = Transcript::of(&store().more(TWO_DISABLED));
    transcript.run("status");
    transcript.run_silently(&["migrate"]);
    for line in [
        "statsu",
        "plugin instal x",
        "retry",
        "retry --target openem",
        "retry --target hospital",
        "retry --kind bad-luck",
        "failed list --patient P-9",
        "failed dismiss --reason x",
        "failed dismiss --all --reason _",
        "resync --target openem",
        "retry --type lab-result",
        "retry --id L-1",
        "retry --patient P-1 --type lab-result --id L-1",
        "conflicts resolve --target openemr --keep local",
        "target pause openem",
        "target disable fihr",
        "plugin rollback --target openemr",
        "plugin dry-run --patient P-1",
        "why --target openemr",
        "why P-9 --target openem",
        "why P-9 --target openemr",
        "trace P-9",
        "trace --change 9",
        "trace P-9 --status failed",
        "trace --since yesterday",
        "plugin install ftp://example/a.wasm",
        "plugin new X --world http-target --lang rust",
        "run --until-idle",
    ] {
        transcript.run(line);
    }
    transcript.expect("errors_in_usage.txt");
}

#[test]
fn snapshot_of_an_empty_store() {
    let mut transcript = Transcript::of(&store().more(TWO_DISABLED));
    for line in [
        "migrate",
        "check",
        "check --json",
        "status",
        "status --json",
        "failed list",
        "failed list --json",
        "trace",
        "trace --json",
        "conflicts",
        "conflicts --json",
        "patient list",
        "retry --failed",
        "plugin list",
        "plugin list --json",
        "plugin history",
        "plugin history --json",
        "target pause fhir",
        "target resume fhir",
        "target probe fhir",
    ] {
        transcript.run(line);
    }
    transcript.expect("an_empty_store.txt");
}

/// A store whose one target, an OpenEMR-shaped SQLite file, holds back what it would have to write over.
async fn delivering() -> (Transcript, Database) {
    let openemr = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    openemr.load_sql(&fixture("openemr/sqlite.sql")).await.expect("tables");
    let configuration = store()
        .more(&format!(
            "\n[targets.openemr]\nadapter = {}\non_remote_edit = \"hold\"\nid_column = \"openemr_patient_id\"\n",
            tests::host::quoted(&adapter("openemr").to_string_lossy())
        ))
        .more(&format!(
            "[targets.openemr.database]\nurl = {}\nallow = {{ preset = \"openemr\" }}\n\
             [targets.openemr.settings]\nunknown_option = \"refuse\"\n",
            tests::host::quoted(openemr.url())
        ));
    (Transcript::of(&configuration), openemr)
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_of_deliveries_failures_and_conflicts() {
    let (mut transcript, openemr) = delivering().await;
    let patient = |id: &str, more: &str| {
        format!(
            "[[patients]]\npatient_id = \"{id}\"\nfamily_name = \"Kim\"\ngiven_name = \"A\"\nbirth_date = 1980-01-31\n\
             gender = \"male\"\n{more}"
        )
    };
    let seed = patient("P-1", "") + &patient("P-2", "race = \"martian\"\n");
    write(&transcript.host, "seed.toml", seed.as_bytes());
    for line in [
        "seed seed.toml",
        "status",
        "plugin dry-run --patient P-1",
        "run --until-idle",
        "seed seed.toml",
        "status",
        "status --json",
        "check",
        "patient list",
        "failed list",
        "failed list --json",
        "retry --failed --dry-run",
        "failed dismiss --all --reason Entered_by_hand --by operator",
        "failed list --dismissed",
        "trace P-1",
        "trace --change 2 --json",
        "trace --status failed",
        "trace",
        "why P-1 --target openemr",
        "why P-2 --target openemr",
    ] {
        transcript.run(line);
    }
    openemr.execute("UPDATE patient_data SET city = 'Busan'").await.expect("edit at the target");
    write(&transcript.host, "seed.toml", patient("P-1", "city = \"Seoul\"\n").as_bytes());
    for line in [
        "seed seed.toml",
        "run --until-idle",
        "status",
        "conflicts",
        "conflicts --json",
        "trace --kind conflict",
        "why P-1 --target openemr --json",
        "conflicts resolve --target openemr --patient P-1 --keep local",
        "run --until-idle",
        "patient delete P-1",
        "resync --target openemr",
        "plugin list",
        "plugin history",
        "plugin rollback --target openemr",
    ] {
        transcript.run(line);
    }
    transcript.expect("deliveries_failures_and_conflicts.txt");
}

#[test]
fn snapshot_of_the_bundled_adapters() {
    let mut transcript = Transcript::of(&store());
    for name in ["openemr", "fhir"] {
        std::fs::copy(adapter(name), transcript.host.folder().join(format!("{name}.wasm"))).expect("copy");
        transcript.run(&format!("plugin inspect {name}.wasm"));
    }
    transcript.run("plugin inspect openemr.wasm --json");
    transcript.run("plugin keygen key");
    transcript.run("plugin verify openemr.wasm --key key.pub");
    transcript.run("plugin sign openemr.wasm --key key");
    transcript.expect("the_bundled_adapters.txt");
}
