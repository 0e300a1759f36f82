//! Keys, signatures, and whom a host trusts.

use std::fs;
use std::path::Path;

use tests::host::{Configuration, Host};

use crate::support::{
    assert_nothing_installed, assert_refused, host, installed, new_key, newer_build, trust, trusting,
};

fn sign(host: &Host, key: &str) {
    let _ = host.run(&["plugin", "sign", "release.wasm", "--key", key]).expect_success();
}

#[test]
fn only_adapters_signed_by_a_trusted_key_are_installed() {
    let host = host("");
    let (ours, _theirs) = (new_key(&host, "ours.key"), new_key(&host, "theirs.key"));
    trust(&host, &trusting(&ours, true));
    let install = || host.run(&["plugin", "install", "release.wasm", "--name", "openemr"]);
    assert_refused(&install(), 5, &["release.wasm has no signature", "require_signature", "openemr.wasm.minisig"]);
    sign(&host, "theirs.key");
    assert_refused(&install(), 5, &["trusted_keys does not name"]);
    sign(&host, "ours.key");
    newer_build(&host.folder().join("release.wasm"));
    assert_refused(&install(), 5, &["is not what key", "fetch it again"]);
    assert_nothing_installed(&host);
    sign(&host, "ours.key");
    let output = install().expect_success();
    assert!(output.stdout.contains("[WARNING] it is signed under the name release.wasm"), "{}", output.stdout);
    assert!(installed(&host).is_file() && host.folder().join("adapters/openemr.wasm.minisig").is_file());
}

#[test]
fn an_invalid_signature_is_refused_even_if_none_is_required() {
    let host = host("");
    let ours = new_key(&host, "ours.key");
    let install = || host.run(&["plugin", "install", "release.wasm", "--name", "openemr", "--update"]);
    let unchecked = install().expect_success();
    assert!(unchecked.stdout.contains("[WARNING] it has no signature"), "{}", unchecked.stdout);
    sign(&host, "ours.key");
    let unchecked = install().expect_success();
    assert!(unchecked.stdout.contains("was not checked"), "{}", unchecked.stdout);
    trust(&host, &trusting(&ours, false));
    newer_build(&host.folder().join("release.wasm"));
    assert_refused(&install(), 5, &["is not what key"]);
    let _ = host.run(&["plugin", "list"]).expect_success();
}

#[test]
fn verify_accepts_valid_and_refuses_invalid_signatures_without_configuration_too() {
    let host = host("");
    let ours = new_key(&host, "ours.key");
    let verify = |arguments: &[&str]| host.run(&[&["plugin", "verify"], arguments].concat());
    assert_refused(&verify(&["release.wasm"]), 2, &["no key is trusted"]);
    assert_refused(&verify(&["release.wasm", "--key", &ours]), 5, &["has no signature"]);
    sign(&host, "ours.key");
    for key in [ours.as_str(), "ours.key.pub"] {
        let output = verify(&["release.wasm", "--key", key]).expect_success();
        assert!(
            output.stdout.contains("signed by key") && output.stdout.contains("file:release.wasm"),
            "{}",
            output.stdout
        );
    }
    trust(&host, &trusting(&ours, true));
    let _ = verify(&["release.wasm"]).expect_success();
    fs::rename(host.folder().join("release.wasm.minisig"), host.folder().join("elsewhere")).expect("rename");
    assert_refused(&verify(&["release.wasm"]), 5, &["release.wasm has no signature"]);
    let _ = verify(&["release.wasm", "--signature", "elsewhere"]).expect_success();
    newer_build(&host.folder().join("release.wasm"));
    assert_refused(&verify(&["release.wasm", "--signature", "elsewhere"]), 5, &["is not what key"]);
}

#[test]
fn an_adapter_whose_signature_is_missing_is_not_loaded() {
    let host = host("");
    let ours = new_key(&host, "ours.key");
    trust(&host, &trusting(&ours, true));
    sign(&host, "ours.key");
    let _ = host.run(&["plugin", "install", "release.wasm", "--name", "openemr"]).expect_success();
    let _ = host.run(&["plugin", "list"]).expect_success();
    fs::remove_file(host.folder().join("adapters/openemr.wasm.minisig")).expect("remove");
    let listed = host.run(&["plugin", "list"]);
    assert_eq!(listed.status, Some(5));
    assert!(listed.stdout.contains("has no signature"), "{}", listed.stdout);
    assert_refused(&host.run(&["plugin", "verify", "adapters/openemr.wasm"]), 5, &["has no signature"]);
}

#[test]
fn a_configuration_that_requires_signatures_without_keys_is_refused() {
    let host = host("");
    let configure = |plugins: &str| {
        let configuration = Configuration::new("sqlite://.host/host.db");
        host.configure(&configuration.more(&format!("[plugins]\n{plugins}"))).expect("configure");
        host.run(&["plugin", "list"])
    };
    assert_refused(&configure("require_signature = true\n"), 3, &["host.toml:5", "needs trusted_keys"]);
    assert_refused(&configure("trusted_keys = [\"RWQ\"]\n"), 3, &["host.toml:5", "entry 1 is not a public key"]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_secret_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = host("");
    let _ = new_key(&host, "ours.key");
    let mode = |file: &Path| fs::metadata(file).expect("file").permissions().mode() & 0o777;
    assert_eq!(mode(&host.folder().join("ours.key")), 0o600);
    assert_refused(&host.run(&["plugin", "keygen", "ours.key"]), 5, &["ours.key"]);
}
