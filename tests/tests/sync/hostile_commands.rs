//! Commands on hostile input next to a running daemon: registries that answer without end, seed files, imports and
//! configurations that are made to cost much. Each command is refused within its bound of time and memory, while the
//! daemon delivers and then ends on SIGTERM within its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tests::host::{Configuration, Host, HostSignal, Output, RunningHost, quoted};

use crate::support::{QUICK, adapter, patient, put};

/// How long a command may take on a busy machine.
const FILE_BOUND: Duration = Duration::from_secs(30);
/// A registry has 30 seconds until it begins to answer, for each of its answers.
const REGISTRY_BOUND: Duration = Duration::from_secs(120);
/// The most memory of a command that only reads a file, KiB.
const FILE_PEAK_KIB_MAX: u64 = 400 << 10;
/// As [`FILE_PEAK_KIB_MAX`], for one that fetches: an adapter may have 256 MiB.
const REGISTRY_PEAK_KIB_MAX: u64 = 700 << 10;

/// What a hostile registry sends first, and then again and again without end; an empty piece is silence.
const ENDLESS: &[(&str, &str, &str)] = &[
    ("silent", "", ""),
    ("interim", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ("lines", "HTTP/1.1 200 OK\r\n", "x: y\r\n"),
    ("body", "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx"),
    ("redirects", "HTTP/1.1 302 Found\r\nLocation: /redirects\r\nContent-Length: 0\r\n\r\n", "\r\n"),
];

fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || drop(answer(stream)));
        }
    });
    port
}

/// Answers by the name in the path, whatever is asked for.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let count = stream.read(&mut head)?;
    let text = String::from_utf8_lossy(&head[..count]).into_owned();
    let kind = ENDLESS.iter().find(|(name, ..)| text.contains(name));
    let Some((_, first, again)) = kind else {
        // A registry's first question, which names no repository: whether it is one.
        return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    stream.write_all(first.as_bytes())?;
    let many = again.repeat(2_000);
    loop {
        if many.is_empty() {
            thread::sleep(Duration::from_secs(1));
        }
        stream.write_all(many.as_bytes())?;
    }
}

/// A running daemon that has delivered its first change.
struct Daemon {
    host: Host,
    running: RunningHost,
    delivered: u64,
}

fn configuration() -> Configuration {
    let more = format!(
        "\n[targets.note]\nadapter = {}\n[targets.note.database]\nurl = \"sqlite://note.db\"\n\
         allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.note.settings]\nbehaviour = \"insert\"\n\
         quiet_check = true\n",
        quoted(&adapter("testing-probe").to_string_lossy())
    );
    Configuration::new("sqlite://.host/host.db").more(&more).more(QUICK)
}

impl Daemon {
    async fn start() -> Self {
        let host = Host::new(&configuration()).expect("host");
        let url = tests::database::sqlite_url(&host.folder().join("note.db"));
        tests::database::execute(&url, "CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT)").await.expect("make");
        let _ = host.run(&["migrate"]).expect_success();
        let running = host.spawn(&["run"]).expect("start");
        let mut daemon = Self { host, running, delivered: 0 };
        daemon.expect_delivered();
        daemon
    }

    fn expect_delivered(&mut self) {
        self.delivered += 1;
        put(&self.host, &patient(&format!("D-{}", self.delivered)));
        let done = || self.host.status()["targets"]["note"]["done"] == self.delivered;
        self.running.wait_until("the daemon delivers", Duration::from_secs(60), done).expect("delivered");
    }

    fn expect_end(self) {
        let asked = Instant::now();
        self.running.signal(HostSignal::Terminate).expect("signal");
        let ended = self.running.wait(Duration::from_secs(60)).expect("an end");
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(asked.elapsed() < Duration::from_secs(35), "{:?}", asked.elapsed());
    }
}

/// The most memory that a process has had, KiB; `None` when it has ended.
fn peak_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// A command under way.
struct Running {
    what: String,
    command: RunningHost,
    began: Instant,
    peak_kib: u64,
}

impl Running {
    fn start(host: &Host, what: &str, arguments: &[&str]) -> Self {
        let command = host.spawn(arguments).expect("start");
        Self { what: what.to_owned(), command, began: Instant::now(), peak_kib: 0 }
    }

    fn is_running(&mut self) -> bool {
        self.peak_kib = self.peak_kib.max(peak_kib(self.command.id()).unwrap_or_default());
        self.command.is_running().expect("a process")
    }

    /// It was refused with an exit code of its own, within its bounds and in words that move no terminal.
    fn expect_refusal(self, bound: Duration, peak_kib_max: u64) {
        let Self { what, command, began, peak_kib } = self;
        let output: Output = command.wait(bound.saturating_sub(began.elapsed())).expect("an end");
        assert!(output.status.is_some_and(|code| (1..=5).contains(&code)), "{what}: {output:?}");
        let shown = output.stdout + &output.stderr;
        assert!(!shown.is_empty() && shown.len() < 64 << 10, "{what}: {} bytes", shown.len());
        let moves =
            |character: char| character.is_control() && character != '\n' || "\u{202e}\u{200f}".contains(character);
        assert!(!shown.contains(moves), "{what}: {shown:?}");
        assert!(peak_kib < peak_kib_max, "{what}: {peak_kib} KiB");
    }
}

/// Runs one to its end.
fn expect_refused(host: &Host, what: &str, arguments: &[&str]) {
    let mut running = Running::start(host, what, arguments);
    while running.is_running() && running.began.elapsed() < FILE_BOUND {
        thread::sleep(Duration::from_millis(10));
    }
    running.expect_refusal(FILE_BOUND, FILE_PEAK_KIB_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_registries_are_abandoned_while_a_running_host_delivers() {
    let mut daemon = Daemon::start().await;
    let port = serve();
    let mut commands: Vec<Running> = Vec::new();
    for (name, ..) in ENDLESS {
        for source in [format!("http://127.0.0.1:{port}/{name}.wasm"), format!("oci://127.0.0.1:{port}/{name}:1")] {
            let arguments = ["plugin", "install", source.as_str(), "--name", "note"];
            commands.push(Running::start(&daemon.host, &source, &arguments));
        }
    }
    let began = Instant::now();
    while commands.iter_mut().any(Running::is_running) && began.elapsed() < REGISTRY_BOUND {
        daemon.expect_delivered();
        thread::sleep(Duration::from_millis(500));
    }
    for command in commands {
        command.expect_refusal(REGISTRY_BOUND, REGISTRY_PEAK_KIB_MAX);
    }
    assert!(!daemon.host.folder().join("adapters.lock").exists(), "nothing was installed");
    // And while one of them is under way.
    let source = format!("http://127.0.0.1:{port}/silent.wasm");
    let mut left = daemon.host.spawn(&["plugin", "install", &source, "--name", "note"]).expect("start");
    daemon.expect_delivered();
    daemon.expect_end();
    left.kill();
}

/// A file of this length that takes no room.
fn sparse(path: &Path, bytes: u64) {
    File::create(path).and_then(|file| file.set_len(bytes)).expect("a sparse file");
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// Texts that are no good as a seed file, an import or a configuration, each in its own way.
fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let keys = (0..40_000).map(|number| format!("key{number} = 1\n")).collect::<Vec<_>>().concat();
    let tables = (0..20_000).map(|number| format!("[table{number}.\"\\u001b[2J\\u202e\"]\na = 1\n"));
    let tables = tables.collect::<Vec<_>>().concat();
    vec![
        ("no text", vec![0xff; 1 << 20]),
        ("unknown keys", keys.into_bytes()),
        ("tables that move a terminal", tables.into_bytes()),
        ("arrays within arrays", format!("a = {}", "[".repeat(1 << 20)).into_bytes()),
        ("tables within tables", format!("a = {}", "{a=".repeat(1 << 18)).into_bytes()),
        ("dotted keys", format!("{}a = 1", "a.".repeat(1 << 18)).into_bytes()),
        ("a text without end", format!("a = \"{}", "x".repeat(8 << 20)).into_bytes()),
        ("brackets of JSON", "[".repeat(1 << 20).into_bytes()),
        ("objects of JSON", "{\"a\":".repeat(1 << 20).into_bytes()),
        ("commands to a terminal", "\u{1b}[2J\u{7}\u{202e}\u{200f} = \u{9b}1\n".repeat(1_000).into_bytes()),
    ]
}

/// Names of the files with what they hold.
fn hostile_files(folder: &Path) -> Vec<(String, &'static str)> {
    let mut files = Vec::new();
    for (index, (what, text)) in texts().into_iter().enumerate() {
        let name = format!("hostile-{index}");
        fs::write(folder.join(&name), text).expect("write");
        files.push((name, what));
    }
    // An import reads a line to its end, and gives it up by its length.
    sparse(&folder.join("sparse"), 128 << 20);
    pipe(&folder.join("pipe"));
    files.extend([("sparse".to_owned(), "megabytes of nothing"), ("pipe".to_owned(), "a pipe")]);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_seed_import_and_settings_files_are_refused_while_a_running_host_delivers() {
    let mut daemon = Daemon::start().await;
    let note = adapter("testing-probe").display().to_string();
    for (file, what) in hostile_files(daemon.host.folder()) {
        // An import may come through a pipe, and waits for its writer.
        let formats = if file == "pipe" { &["toml"][..] } else { &["toml", "ndjson", "csv"] };
        for format in formats {
            let named = format!("{file}.{format}");
            fs::rename(daemon.host.folder().join(&file), daemon.host.folder().join(&named)).expect("rename");
            let verb = if *format == "toml" { "seed" } else { "import" };
            expect_refused(&daemon.host, &format!("{verb} of {what} as {format}"), &[verb, named.as_str()]);
            // What is well formed is for the adapter to refuse.
            if verb == "seed" && !["unknown keys", "tables that move a terminal"].contains(&what) {
                let command = ["plugin", "test", note.as_ref(), "--settings", named.as_str()];
                expect_refused(&daemon.host, &format!("settings of {what}"), &command);
            }
            fs::rename(daemon.host.folder().join(&named), daemon.host.folder().join(&file)).expect("rename");
        }
        daemon.expect_delivered();
    }
    daemon.expect_end();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_configurations_are_refused_while_a_running_host_delivers() {
    let mut daemon = Daemon::start().await;
    let good = configuration();
    let folder = tempfile::tempdir().expect("folder");
    for (file, what) in hostile_files(folder.path()) {
        let (file, in_place) = (folder.path().join(&file), daemon.host.folder().join("host.toml"));
        fs::remove_file(&in_place).expect("remove");
        fs::rename(&file, &in_place).expect("rename");
        for command in [&["check"][..], &["status"], &["run", "--until-idle"], &["plugin", "list"]] {
            expect_refused(&daemon.host, &format!("{} with {what}", command.join(" ")), command);
        }
        assert!(daemon.running.is_running().expect("a process"), "{what}: {}", daemon.running.stderr());
        fs::remove_file(&in_place).expect("remove");
        daemon.host.configure(&good).expect("configure");
        daemon.expect_delivered();
    }
    daemon.expect_end();
}
