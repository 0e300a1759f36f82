//! The container image, as far as its recipe shows without an engine that builds it.

use std::fs;

use tests::environment::workspace;

fn recipe() -> String {
    fs::read_to_string(workspace().join("Dockerfile")).expect("Dockerfile")
}

/// The binary is shipped without its symbols, which are kept apart.
#[test]
fn the_image_has_a_stripped_binary_and_separate_symbols() {
    let recipe = recipe();
    for step in [
        "objcopy --only-keep-debug target/release/host /symbols/host.debug",
        "strip --strip-unneeded --output-file=/out/host target/release/host",
        "FROM scratch AS symbols",
        "COPY --from=builder /out/host /usr/local/bin/host",
    ] {
        assert!(recipe.contains(step), "the image lacks: {step}");
    }
}

/// The root is read-only: `host plugin install` writes into the volume, which the host's user owns.
#[test]
fn the_image_has_an_adapters_folder_that_the_host_can_write() {
    let recipe = recipe();
    let installed = "COPY --from=builder --chown=host:host /out/adapters /srv/neuronova/.host/adapters";
    assert!(recipe.contains(installed), "the adapters are not the host's own");
    assert!(recipe.contains("VOLUME /srv/neuronova/.host"), "the folder is no volume");
    let configuration = fs::read_to_string(workspace().join("deploy/host.compose.toml")).expect("configuration");
    assert!(configuration.contains("directory = \".host/adapters\""), "its configuration has another folder");
}
