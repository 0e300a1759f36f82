//! Through a real registry: push, install by tag and by digest, and what a bad operator of it could try.

use std::fs;

use serde_json::Value;
use tests::host::Host;
use tests::servers::Registry;

use crate::support::{
    assert_nothing_installed, assert_refused, host, installed, new_key, newer_build, registry, trust, trusting,
};

fn push(host: &Host, to: &str) -> Value {
    host.run(&["plugin", "push", "release.wasm", to, "--json"]).expect_success().json()
}

#[test]
fn a_pushed_signed_adapter_is_installed_by_tag_and_by_digest() {
    let Some(registry) = registry() else { return };
    let host = host("");
    let key = new_key(&host, "release.key");
    trust(&host, &trusting(&key, true));
    let _ = host.run(&["plugin", "sign", "release.wasm", "--key", "release.key"]).expect_success();
    let tag = registry.address("adapters/openemr:1.0");
    let pushed = push(&host, &tag);
    assert_eq!(pushed["signed"], true);
    assert_eq!(push(&host, &tag)["manifest"], pushed["manifest"], "the same file has the same digest");
    let by_digest = pushed["by_digest"].as_str().expect("by digest");
    assert!(by_digest.contains("@sha256:"), "{by_digest}");
    for source in [tag.as_str(), by_digest, &format!("{tag}@{}", pushed["manifest"].as_str().expect("digest"))] {
        let output = host.run(&["plugin", "install", source]).expect_success();
        assert!(output.stdout.contains("signed by key"), "{}", output.stdout);
        let release = fs::read(host.folder().join("release.wasm")).expect("release");
        assert_eq!(fs::read(installed(&host)).expect("installed"), release);
        let lock = fs::read_to_string(host.folder().join("adapters.lock")).expect("lock");
        for text in [source, pushed["sha256"].as_str().expect("sha256"), pushed["manifest"].as_str().expect("digest")] {
            assert!(lock.contains(text), "no `{text}` in\n{lock}");
        }
    }
    let _ = host.run(&["plugin", "list"]).expect_success();
    let _ = host.run(&["plugin", "verify", "adapters/openemr.wasm"]).expect_success();
}

#[test]
fn a_blob_changed_in_the_registry_is_refused() {
    let Some(registry) = registry() else { return };
    let host = host("");
    let tag = registry.address("openemr:1");
    let pushed = push(&host, &tag);
    let blob = registry.blob(pushed["sha256"].as_str().expect("sha256"));
    let good = fs::read(&blob).expect("blob");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    fs::write(&blob, &flipped).expect("tamper");
    assert_refused(&host.run(&["plugin", "install", &tag]), 5, &[&tag, "tampered", "push it again"]);
    assert_nothing_installed(&host);
    fs::write(&blob, [good.as_slice(), &[0; 1000]].concat()).expect("tamper");
    assert_refused(&host.run(&["plugin", "install", &tag]), 5, &[&tag, "larger than the"]);
    fs::write(&blob, &good[..good.len() / 2]).expect("tamper");
    assert_refused(&host.run(&["plugin", "install", &tag]), 5, &[&tag]);
    assert_nothing_installed(&host);
    fs::write(&blob, &good).expect("repair");
    let _ = host.run(&["plugin", "install", &tag]).expect_success();
}

#[test]
fn a_replaced_manifest_is_refused_by_digest() {
    let Some(registry) = registry() else { return };
    let host = host("");
    let tag = registry.address("openemr:1");
    let first = push(&host, &tag);
    newer_build(&host.folder().join("release.wasm"));
    let second = push(&host, &tag);
    let manifest = |pushed: &Value| registry.blob(pushed["manifest"].as_str().expect("digest"));
    fs::copy(manifest(&second), manifest(&first)).expect("exchange");
    let by_digest = first["by_digest"].as_str().expect("by digest");
    assert_refused(&host.run(&["plugin", "install", by_digest]), 5, &[by_digest]);
    assert_nothing_installed(&host);
}

#[test]
fn a_moved_tag_is_refused_without_update() {
    let Some(registry) = registry() else { return };
    let host = host("");
    let tag = registry.address("openemr:1");
    let first = push(&host, &tag);
    let _ = host.run(&["plugin", "install", &tag]).expect_success();
    let _ = host.run(&["plugin", "install", &tag]).expect_success();
    newer_build(&host.folder().join("release.wasm"));
    let second = push(&host, &tag);
    assert_ne!(first["sha256"], second["sha256"]);
    let before =
        (fs::read(installed(&host)).expect("file"), fs::read(host.folder().join("adapters.lock")).expect("lock"));
    let (old, new) = (first["sha256"].as_str().expect("sha256"), second["sha256"].as_str().expect("sha256"));
    assert_refused(&host.run(&["plugin", "install", &tag]), 5, &["has moved", old, new, "--update"]);
    let after =
        (fs::read(installed(&host)).expect("file"), fs::read(host.folder().join("adapters.lock")).expect("lock"));
    assert_eq!(before, after);
    let _ = host.run(&["plugin", "install", first["by_digest"].as_str().expect("by digest")]).expect_success();
    let _ = host.run(&["plugin", "install", &tag, "--update"]).expect_success();
    assert_ne!(fs::read(installed(&host)).expect("file"), before.0);
    let _ = host.run(&["plugin", "list"]).expect_success();
}

#[test]
fn a_registry_with_a_password_accepts_only_the_right_one() {
    if registry().is_none() {
        return;
    }
    let registry = Registry::start_with_password().expect("registry");
    let host = host("");
    let tag = registry.address("openemr:1");
    let words = ["refuses this user, password or token", "HOST_REGISTRY_PASSWORD"];
    assert_refused(&host.run(&["plugin", "push", "release.wasm", &tag]), 5, &words);
    fs::write(host.folder().join("wrong"), "guess").expect("write");
    fs::write(host.folder().join("right"), "letmein\n").expect("write");
    let push =
        |file: &str| host.run(&["plugin", "push", "release.wasm", &tag, "--user", "releaser", "--password-file", file]);
    let refused = push("wrong");
    assert_refused(&refused, 5, &words);
    assert!(!refused.stderr.contains("guess"), "{}", refused.stderr);
    let _ = push("right").expect_success();
    assert_refused(&host.run(&["plugin", "install", &tag]), 5, &words);
    let host = host.with_variable("HOST_REGISTRY_USER", "releaser").with_variable("HOST_REGISTRY_PASSWORD", "letmein");
    let _ = host.run(&["plugin", "install", &tag]).expect_success();
}

#[test]
fn a_missing_tag_or_a_file_that_is_not_an_adapter_is_named() {
    let Some(registry) = registry() else { return };
    let host = host("");
    let tag = registry.address("openemr:1");
    assert_refused(&host.run(&["plugin", "install", &tag]), 5, &[&tag, "no such repository, tag or digest"]);
    fs::write(host.folder().join("release.wasm"), "no component").expect("write");
    assert_refused(&host.run(&["plugin", "push", "release.wasm", &tag]), 5, &["is not a WebAssembly component"]);
    assert_refused(&host.run(&["plugin", "push", "release.wasm", "openemr:1"]), 2, &["oci://REGISTRY"]);
    let gone = "oci://127.0.0.1:9/openemr:1";
    assert_refused(&host.run(&["plugin", "install", gone]), 5, &[gone, "onnect"]);
    assert_nothing_installed(&host);
}
