//! Files that are made to cost much or to crash whoever looks at them, put in the place of an adapter that works: they
//! are refused, the one before goes on, also after a restart, and no file costs more than its own refusal.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::host::{Configuration, Host, HostSignal, RunningHost, quoted};

use crate::support::{QUICK, adapter, patient, put};

fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [vec![id], leb(body.len()), body.to_vec()].concat()
}

/// Types that nest so deep.
fn nested_types(depth: usize) -> Vec<u8> {
    let body = [leb(1), [0x41, 0x01, 0x01].repeat(depth), vec![0x41, 0x00]].concat();
    section(7, &body)
}

/// A module with one function of so many local variables, whose body is this piece again and again.
fn function(locals: usize, piece: &[u8], count: usize) -> Vec<u8> {
    let code = [leb(1), leb(locals), vec![0x7f], piece.repeat(count), vec![0x0b]].concat();
    let body = [leb(1), leb(code.len()), code].concat();
    let module =
        [b"\0asm\x01\0\0\0".to_vec(), section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0]), section(10, &body)].concat();
    section(1, &module)
}

/// Components next to each other, and within each other.
fn components(count: usize) -> Vec<u8> {
    section(4, b"\0asm\x0d\0\x01\0").repeat(count)
}

fn nested_components(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| section(4, &[b"\0asm\x0d\0\x01\0".to_vec(), inner].concat()))
}

/// What is put behind the healthy component, and the words that it is refused with.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    // loop local.get 0 local.set 1 end
    let piece = [0x03, 0x40, 0x20, 0x00, 0x21, 0x01, 0x0b];
    vec![
        ("nested types", nested_types(1_000), "is a damaged WebAssembly component"),
        ("less nested types", nested_types(50), "types within each other: more than 16"),
        ("crowd of components", components(20_000), "components: more than 256"),
        ("nested components", nested_components(200), "modules and components within each other: more than 8"),
        ("locals", function(50_000, &piece, 140_000), "local variables of a function: more than 4000"),
        ("locals times bytes", function(4_000, &piece, 140_000), "times its bytes: more than 400000000"),
        ("large function", function(2, &piece, 600_000), "bytes of a function: more than 4194304"),
    ]
}

fn configuration(file: &Path) -> Configuration {
    let more = format!(
        "\n[targets.note]\nadapter = {}\n[targets.note.database]\nurl = \"sqlite://note.db\"\n\
         allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.note.settings]\nbehaviour = \"insert\"\n\
         quiet_check = true\n",
        quoted(&file.to_string_lossy())
    );
    Configuration::new("sqlite://.host/host.db").more(&more).more(QUICK)
}

fn host_with(file: &Path) -> Host {
    Host::new(&configuration(file)).expect("host")
}

fn end(daemon: RunningHost) {
    daemon.signal(HostSignal::Terminate).expect("signal");
    assert_eq!(daemon.wait(Duration::from_secs(30)).expect("end").status, Some(0));
}

fn expect_delivered(host: &Host, daemon: &mut RunningHost, number: u64) {
    put(host, &patient(&format!("C-{number}")));
    let done = || host.status()["targets"]["note"]["done"] == number;
    daemon.wait_until("the change is delivered", Duration::from_secs(60), done).expect("delivered");
}

/// A running host whose adapter is a healthy one in this file, and that has delivered the first change.
async fn host_that_delivers(file: &Path, healthy: &[u8]) -> (Host, RunningHost) {
    std::fs::write(file, healthy).expect("write");
    let host = host_with(file);
    let url = tests::database::sqlite_url(&host.folder().join("note.db"));
    tests::database::execute(&url, "CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT)").await.expect("make");
    let _ = host.run(&["migrate"]).expect_success();
    let mut daemon = host.spawn(&["run"]).expect("start");
    expect_delivered(&host, &mut daemon, 1);
    (host, daemon)
}

#[tokio::test]
async fn hostile_components_are_refused_and_the_previous_adapter_stays_active() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("note.wasm");
    let healthy = std::fs::read(adapter("testing-probe")).expect("probe");
    let (host, mut daemon) = host_that_delivers(&file, &healthy).await;
    let mut number = 1;
    for (name, more, words) in hostile() {
        std::fs::write(&file, [healthy.clone(), more].concat()).expect("write");
        let began = Instant::now();
        for command in
            [vec!["plugin", "inspect", "note.wasm"], vec!["plugin", "install", "note.wasm", "--name", "note"]]
        {
            std::fs::copy(&file, host.folder().join("note.wasm")).expect("copy");
            let output = host.run(&command);
            assert!(output.status.is_some_and(|code| code != 0) && output.stderr.contains(words), "{name}: {output:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{name}: {:?}", began.elapsed());
        let refused = || host.status()["targets"]["note"]["error"].as_str().is_some_and(|error| error.contains(words));
        daemon.wait_until(name, Duration::from_secs(30), refused).expect("refused");
        number += 1;
        expect_delivered(&host, &mut daemon, number);
    }
    // The file is still there after a restart.
    end(daemon);
    let mut daemon = host.spawn(&["run"]).expect("start");
    expect_delivered(&host, &mut daemon, number + 1);
}

#[test]
fn hostile_pipes_and_sparse_adapter_files_are_refused_at_once() {
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    let pipe = host.folder().join("pipe.wasm");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let sparse = std::fs::File::create(host.folder().join("sparse.wasm")).expect("create");
    sparse.set_len(3 << 30).expect("grow");
    for (file, words) in [("pipe.wasm", "is not a regular file"), ("sparse.wasm", "is larger than 256 MiB")] {
        for verb in ["inspect", "install"] {
            let began = Instant::now();
            let output = host.run(&["plugin", verb, file]);
            assert!(output.status.is_some_and(|code| code != 0) && output.stderr.contains(words), "{file}: {output:?}");
            assert!(began.elapsed() < Duration::from_secs(5), "{file}: {:?}", began.elapsed());
        }
    }
}

/// Modules that are never called, each within what one may have.
fn heavy() -> Vec<u8> {
    // loop local.get 0 local.set 1 end
    function(2, &[0x03, 0x40, 0x20, 0x00, 0x21, 0x01, 0x0b], 100_000).repeat(6)
}

#[tokio::test]
async fn hostile_component_that_compiles_too_long_leaves_the_previous_one_active() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("note.wasm");
    let healthy = std::fs::read(adapter("testing-probe")).expect("probe");
    let (host, daemon) = host_that_delivers(&file, &healthy).await;
    end(daemon);
    host.configure(&configuration(&file).more("\n[plugins]\ncompile_cpu_s = 1\n")).expect("configure");
    let mut daemon = host.spawn(&["run"]).expect("start");
    expect_delivered(&host, &mut daemon, 2);
    std::fs::write(&file, [healthy, heavy()].concat()).expect("write");
    let words = "takes more than 1 s of processor time";
    let refused = || host.status()["targets"]["note"]["error"].as_str().is_some_and(|error| error.contains(words));
    daemon.wait_until("it is given up", Duration::from_secs(60), refused).expect("refused");
    expect_delivered(&host, &mut daemon, 3);
    end(daemon);
    // The file is still there after a restart, and is not compiled again.
    let mut daemon = host.spawn(&["run"]).expect("start");
    expect_delivered(&host, &mut daemon, 4);
    end(daemon);
}

/// The processes that this one has started and not ended, from whichever thread.
#[cfg(target_os = "linux")]
fn children(of: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let of_task = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.map(of_task).collect::<Vec<_>>().join(" ").split_whitespace().map(str::to_owned).collect()
}

/// While a component is compiled that takes long: the host ends within its bound, and leaves no compiler behind.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn hostile_component_that_compiles_too_long_does_not_keep_the_host_from_stopping() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("note.wasm");
    let healthy = std::fs::read(adapter("testing-probe")).expect("probe");
    let (host, daemon) = host_that_delivers(&file, &healthy).await;
    end(daemon);
    // It may wait a minute for calls under way; a compiler is none.
    let text = configuration(&file).text().replace("[sync]\n", "[sync]\ndrain_timeout_ms = 60000\n");
    std::fs::write(host.folder().join("host.toml"), text).expect("configure");
    let mut daemon = host.spawn(&["run"]).expect("start");
    expect_delivered(&host, &mut daemon, 2);
    let id = daemon.id();
    std::fs::write(&file, [healthy, heavy()].concat()).expect("write");
    daemon.wait_until("it is compiled", Duration::from_secs(30), || !children(id).is_empty()).expect("a compiler");
    let compilers = children(id);
    daemon.signal(HostSignal::Terminate).expect("signal");
    let ended = daemon.wait(Duration::from_secs(20)).expect("it ends at once");
    assert!(ended.status.is_some(), "{}", ended.stderr);
    let is_gone = |compiler: &String| {
        let state = std::fs::read_to_string(format!("/proc/{compiler}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    assert!(compilers.iter().all(is_gone), "{compilers:?} still run");
}
