//! `host status --watch`: with a store that goes away, and on a terminal. It tests no figure of the status itself.

use tests::host::{Configuration, Host};

use super::everything;

#[tokio::test(flavor = "multi_thread")]
async fn watch_survives_a_short_outage_of_the_store() {
    let Some(database) =
        tests::database::Database::fresh(tests::environment::Backend::Postgres).await.expect("database")
    else {
        return;
    };
    let host = Host::new(&Configuration::new(database.url())).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let limit = std::time::Duration::from_secs(60);
    let mut watch = host.spawn(&["status", "--watch", "--every", "1"]).expect("start");
    watch.wait_until("the first look", limit, || looks(&host, "[Outbox Status]") > 0).expect("look");
    let (server, name) = database.url().rsplit_once('/').expect("a name");
    let admin = format!("{server}/postgres");
    let away = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    tests::database::execute(&admin, &away).await.expect("away");
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    tests::database::execute(&admin, &end).await.expect("end");
    watch.wait_until("a look that fails", limit, || looks(&host, "trying again") > 0).expect("look");
    let before = looks(&host, "[Outbox Status]");
    tests::database::execute(&admin, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await.expect("back");
    watch.wait_until("a look after that", limit, || looks(&host, "[Outbox Status]") > before).expect("look");
    assert!(looks(&host, "host status, 20") > 2, "each output has its time");
    watch.kill();
}

/// Python's `pty` gives the terminal; without Python there is none.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn watch_on_a_terminal_redraws_the_screen_with_a_clock() {
    const TERMINAL: &str = "import os, pty, sys, time, signal
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown, began = b'', time.time()
while shown.count(b'[Outbox Status]') < 3 and time.time() - began < 60:
    shown += os.read(terminal, 65536)
os.kill(pid, signal.SIGINT)
os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
";
    let folder = tempfile::tempdir().expect("a folder");
    let store = tests::database::sqlite_url(&folder.path().join("host.db"));
    let host = Host::new(&Configuration::new(&store)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut command = std::process::Command::new("python3");
    command.args(["-c", TERMINAL]).arg(tests::environment::host_binary());
    command.args(["status", "--watch", "--every", "1"]).current_dir(host.folder());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if tests::environment::is_ci() => panic!("python3: {error}"),
        Err(error) => return eprintln!("not run: python3: {error}"),
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let screens: Vec<_> = shown.split("\u{1b}[H\u{1b}[2J\u{1b}[3J").skip(1).collect();
    assert!(screens.len() >= 3, "{shown}{}", String::from_utf8_lossy(&output.stderr));
    let clocks: Vec<_> = screens.iter().map(|screen| screen.trim_start().lines().next().unwrap_or_default()).collect();
    assert!(clocks.iter().all(|clock| clock.starts_with("host status, 20")), "{clocks:?}");
    assert_ne!(clocks[0], clocks[1], "the clock goes on");
    assert!(screens[..3].iter().all(|screen| screen.contains("[Outbox Status]")), "each screen is whole");
}

/// How often these words were printed by what was started in the host's folder.
fn looks(host: &Host, words: &str) -> usize {
    everything(host.folder()).iter().map(|(_, text)| String::from_utf8_lossy(text).matches(words).count()).sum()
}
