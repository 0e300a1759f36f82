//! A host whose adapters are installed, and keys to sign them with.

use std::fs;
use std::path::{Path, PathBuf};

use tests::environment::{adapter, is_ci};
use tests::host::{Configuration, Host, Output};
use tests::servers::Registry;

/// A registry, or `None` where it is not on this system; where `CI` is set it must be there.
pub(crate) fn registry() -> Option<Registry> {
    if !(Registry::NEED.is_met)() && !is_ci() {
        eprintln!("not reached: {} (run cargo xtask test)", Registry::NEED.name);
        return None;
    }
    Some(Registry::start().expect("registry"))
}

/// A host with the target `openemr` at an SQLite file, whose adapter is to be installed; `plugins` goes into
/// `[plugins]`.
pub(crate) fn host(plugins: &str) -> Host {
    let url = "sqlite://openemr.db";
    host_of(Configuration::new("sqlite://.host/host.db").openemr(Path::new("openemr.wasm"), url), plugins)
}

pub(crate) fn host_of(configuration: Configuration, plugins: &str) -> Host {
    let host =
        Host::new(&configuration.more(&format!("\n[plugins]\ndirectory = \"adapters\"\n{plugins}"))).expect("host");
    fs::copy(adapter("openemr"), host.folder().join("release.wasm")).expect("copy");
    host
}

/// `trusted_keys` with one key, and whether signatures are needed.
pub(crate) fn trusting(key: &str, required: bool) -> String {
    format!("trusted_keys = [\"{key}\"]\nrequire_signature = {required}\n")
}

/// Makes a key in a folder and gives its public half.
pub(crate) fn new_key(host: &Host, name: &str) -> String {
    let _ = host.run(&["plugin", "keygen", name]).expect_success();
    let public = fs::read_to_string(host.folder().join(format!("{name}.pub"))).expect("public key");
    public.lines().nth(1).expect("key").to_owned()
}

/// Trusts this key from now on.
pub(crate) fn trust(host: &Host, plugins: &str) {
    let configuration =
        Configuration::new("sqlite://.host/host.db").openemr(Path::new("openemr.wasm"), "sqlite://openemr.db");
    host.configure(&configuration.more(&format!("\n[plugins]\ndirectory = \"adapters\"\n{plugins}")))
        .expect("configure");
}

/// Another file with the same behaviour: an empty custom section at the end, as any tool may append one.
pub(crate) fn newer_build(file: &Path) {
    let mut bytes = fs::read(file).expect("component");
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    fs::write(file, bytes).expect("write");
}

pub(crate) fn installed(host: &Host) -> PathBuf {
    host.folder().join("adapters").join("openemr.wasm")
}

/// The exit code, and words on stderr.
pub(crate) fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.status, Some(code), "stdout:\n{}\nstderr:\n{}", output.stdout, output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "no `{word}` in\n{}", output.stderr);
    }
}

/// Neither an adapter, nor a part of one, nor a pin.
pub(crate) fn assert_nothing_installed(host: &Host) {
    let adapters = host.folder().join("adapters");
    let files: Vec<_> = fs::read_dir(adapters).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert!(files.is_empty(), "{files:?}");
    assert!(!host.folder().join("adapters.lock").exists());
}
