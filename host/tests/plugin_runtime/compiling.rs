//! From a file to an adapter: what is kept, what is refused, and what a file may cost.

use host::plugin::{CompileLimits, Compiler, PluginError, Runtime, RuntimeOptions, World};

use crate::support::{adapter, probe, runtime};

#[tokio::test]
async fn compiled_code_is_cached_and_a_damaged_entry_is_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let options = RuntimeOptions { cache_dir: Some(cache.clone()), instances_max: 2, ..RuntimeOptions::default() };
    for _ in 0..2 {
        let runtime = Runtime::new(&options).unwrap();
        probe(&runtime).await;
        let entries: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "one entry, and no temporary file");
        let bytes = std::fs::read(&entries[0]).unwrap();
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        std::fs::write(&entries[0], damaged).unwrap();
        probe(&runtime).await;
        assert_eq!(std::fs::read(&entries[0]).unwrap(), bytes, "compiled anew");
    }
}

/// A program in place of the compiler.
#[cfg(unix)]
fn program(folder: &std::path::Path, body: &str) -> Compiler {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("compiler.sh");
    let runs = folder.join("runs");
    std::fs::write(&path, format!("#!/bin/sh\necho run >> {}\n{body}\n", runs.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    Compiler::Child(path)
}

#[cfg(unix)]
#[tokio::test]
async fn hostile_crash_of_the_compiler_is_remembered_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap_or_default().lines().count();
    let cache = folder.path().join("cache");
    let options = |compiler| RuntimeOptions {
        cache_dir: Some(cache.clone()),
        instances_max: 2,
        compiler,
        ..RuntimeOptions::default()
    };
    let load = async |compiler| {
        let runtime = Runtime::new(&options(compiler)).unwrap();
        runtime.load(&adapter("testing-probe"), World::Database).await.map(drop).map_err(|error| error.to_string())
    };
    // What the compiler itself reports is no crash, and may be tried again.
    for expected in [1, 2] {
        let error = load(program(folder.path(), "echo no such thing >&2; exit 3")).await.unwrap_err();
        assert!(error.ends_with("testing-probe.wasm: no such thing"), "{error}");
        assert_eq!(runs(), expected);
    }
    // Nor is it one that a service manager ends everything, that memory is short, or that the disk is full.
    for (ending, said) in [
        ("kill -TERM $$", "ended from outside (signal 15)"),
        ("kill -KILL $$", "ended from outside (signal 9)"),
        ("exit 1", "is the disk of the cache full?"),
        ("exit 7", "the compiler ended with 7"),
    ] {
        let error = load(program(folder.path(), &format!("cat > /dev/null; {ending}"))).await.unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(runs(), 6);
    let error = load(program(folder.path(), "cat > /dev/null; kill -SEGV $$")).await.unwrap_err();
    assert!(error.contains("compiling it crashes the compiler"), "{error}");
    assert_eq!(runs(), 7);
    // After a restart, and with a compiler that would do.
    for compiler in [program(folder.path(), "exit 1"), Compiler::Here] {
        let error = load(compiler).await.unwrap_err();
        assert!(error.contains("crashes the compiler") && error.contains("it is not tried again"), "{error}");
    }
    assert_eq!(runs(), 7);
    let refused = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "refused");
    let entries = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    std::fs::remove_file(entries.into_iter().find(refused).unwrap()).unwrap();
    load(Compiler::Here).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_an_adapter_is_named_with_the_expected_form() {
    let runtime = runtime();
    let load = async |name: &str, bytes: &[u8], world| {
        runtime.load_bytes(name, bytes.to_vec(), world).await.unwrap_err().to_string()
    };
    assert!(load("a.wasm", b"hello", World::Database).await.starts_with("a.wasm is not a WebAssembly component"));
    assert!(load("a.wasm", b"\0asm\x01\0\0\0", World::Database).await.contains("core WebAssembly module"));
    let bytes = std::fs::read(adapter("testing-probe")).unwrap();
    let other = load("probe.wasm", &bytes, World::Http).await;
    assert!(other.contains("an adapter for the world `database-target`, expected `http-target`"), "{other}");
    let cut = load("probe.wasm", &bytes[..bytes.len() / 2], World::Database).await;
    assert!(cut.contains("damaged"), "{cut}");
    let missing = runtime.load(std::path::Path::new("nowhere.wasm"), World::Database).await.unwrap_err();
    assert!(matches!(missing, PluginError::Unreadable { .. }), "{missing}");
    // The same component, as if it had been built against another version of the interface.
    let mut newer = bytes;
    let (from, to) = (b"neuronova:sync/database-adapter@0.2.0", b"neuronova:sync/database-adapter@0.9.0");
    let places: Vec<usize> =
        newer.windows(from.len()).enumerate().filter(|(_, part)| part == from).map(|(at, _)| at).collect();
    for at in places {
        newer[at..at + to.len()].copy_from_slice(to);
    }
    let version = load("probe.wasm", &newer, World::Database).await;
    assert!(version.contains("version 0.9.0") && version.contains("this host speaks 0.1.0 and 0.2.0"), "{version}");
}

/// The probe with a module behind it that is never called: some ten thousand loops.
fn heavy() -> Vec<u8> {
    let function = format!("(func (local i32 i32) {})", "(loop (local.set 1 (local.get 0)))".repeat(2_000));
    let module = wat::parse_str(format!("(module {})", function.repeat(12))).unwrap();
    let mut bytes = std::fs::read(adapter("testing-probe")).unwrap();
    // A core module is the first kind of section; its length is written seven bits at a time.
    bytes.push(1);
    let mut length = module.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(module);
    bytes
}

/// Each limit by itself ends the compiler, which would otherwise have come to its end, and what was loaded before goes
/// on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn hostile_component_ends_the_compiler_at_each_of_its_limits() {
    let roomy = CompileLimits::default();
    let cases = [
        (CompileLimits { cpu_seconds_max: 1, ..roomy }, &["takes more than 1 s of processor time"][..]),
        // Where a thread cannot be had the compiler panics, where memory cannot it aborts.
        (
            CompileLimits { memory_bytes_max: 64 << 20, ..roomy },
            &["more than 64 MiB of memory", "makes the compiler panic"],
        ),
        (CompileLimits { code_bytes_max: 200_000, ..roomy }, &["its machine code has more than 200000 bytes"]),
        (roomy, &[]),
    ];
    let bench = crate::Bench::new().await;
    for (compile_limits, words) in cases {
        let options = RuntimeOptions {
            instances_max: 2,
            compiler: Compiler::Child(env!("CARGO_BIN_EXE_host").into()),
            compile_limits,
            ..RuntimeOptions::default()
        };
        let loaded = Runtime::new(&options).unwrap().load_bytes("heavy.wasm", heavy(), World::Database).await;
        match loaded.map(drop).map_err(|error| error.to_string()) {
            Ok(()) => assert!(words.is_empty(), "{compile_limits:?}: it was compiled"),
            Err(error) => assert!(words.iter().any(|words| error.contains(words)), "{compile_limits:?}: {error}"),
        }
        let call = bench.apply("echo", "").await;
        assert_eq!(call.result.unwrap().unwrap().outcomes.len(), 3, "the one before goes on");
        call.transaction.unwrap().rollback().await.unwrap();
    }
}
