//! A directory of patients over HTTP that works longer than its clients wait, and goes on when they are gone.
//!
//! It notes when each write began, so that a test sees whether one came while an earlier one was still at work.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tests::servers::small_http::read_request;

/// How the server treats a write; reads are answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Every write is answered at once.
    AtOnce,
    /// The first write of each patient loses its connection as soon as it was read.
    CutTheFirst,
    /// Every write of this patient does.
    CutAll(&'static str),
    /// The first write of each patient is answered when the work is done.
    HoldTheFirst,
    /// Every write is.
    HoldAll,
}

/// One write that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) patient: String,
    pub(crate) began: Instant,
}

#[derive(Clone)]
pub(crate) struct SlowServer {
    port: u16,
    work: Duration,
    answer: Answer,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl SlowServer {
    pub(crate) fn start(work: Duration, answer: Answer) -> Self {
        Self::start_on(0, work, answer)
    }

    /// On this port, where a server was or will be.
    pub(crate) fn start_on(port: u16, work: Duration, answer: Answer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("listen");
        let port = listener.local_addr().expect("address").port();
        let server = Self { port, work, answer, writes: Arc::default() };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                thread::spawn(move || server.serve(&stream));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The patients that were written, each once, in the order of their names.
    pub(crate) fn patients(&self) -> Vec<String> {
        let mut patients: Vec<_> = self.writes().into_iter().map(|write| write.patient).collect();
        patients.sort();
        patients.dedup();
        patients
    }

    /// The writes so far, in the order of their arrival.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.writes.lock().expect("lock").clone()
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("clone"));
        while let Some((head, _)) = read_request(&mut reader) {
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if method == "GET" {
                respond(stream);
                continue;
            }
            let first = self.note(path);
            match self.answer {
                Answer::CutAll(patient) if path.ends_with(patient) => return,
                // The work is its own thread's, whose result is not read any more.
                Answer::CutTheFirst if first => return,
                Answer::HoldTheFirst if first => thread::sleep(self.work),
                Answer::HoldAll => thread::sleep(self.work),
                Answer::AtOnce | Answer::CutTheFirst | Answer::CutAll(_) | Answer::HoldTheFirst => {}
            }
            respond(stream);
        }
    }

    /// Whether it is the first write of its patient.
    fn note(&self, path: &str) -> bool {
        let patient = path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut writes = self.writes.lock().expect("lock");
        let first = writes.iter().all(|write| write.patient != patient);
        writes.push(Write { patient, began: Instant::now() });
        first
    }
}

fn respond(mut stream: &TcpStream) {
    // A client that went away hears nothing.
    drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"1\"\r\n\r\n{}"));
}
