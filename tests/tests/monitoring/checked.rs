//! `host status --check` as a program for monitoring runs it: one line, and an exit code.

use tests::host::Output;

use super::directory::{Answer, Directory};
use super::{LIMIT, Watched, patient};

#[test]
fn a_check_ends_with_the_code_of_its_worst_problem() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let check = |more: &[&str]| -> Output { watched.host.run(&[&["status", "--check"], more].concat()) };
    let is = |output: &Output, code: i32, begin: &str| {
        assert_eq!((output.status, output.stdout.lines().count()), (Some(code), 1), "{}", output.stdout);
        assert!(output.stdout.starts_with(begin), "{}", output.stdout);
    };
    is(&check(&[]), 2, "CRITICAL - no host runs on this store; ");
    let mut running = watched.host.spawn(&["run"]).expect("start");
    running.wait_until("all is well", LIMIT, || check(&[]).status == Some(0)).expect("OK");
    is(&check(&[]), 0, "OK - phones up, 0 pending | hosts=1;1 ");
    is(&check(&["--target", "nowhere"]), 3, "UNKNOWN - ");
    directory.answer(Answer::Refuses);
    watched.put(&patient("C-1"));
    running.wait_until("it fails", LIMIT, || check(&[]).status == Some(1)).expect("a warning");
    is(&check(&[]), 1, "WARNING - 1 failed at phones; ");
    is(&check(&["--failed", "1,1"]), 2, "CRITICAL - 1 failed at phones; ");
    is(&check(&["--failed", "2"]), 0, "OK - ");
}
