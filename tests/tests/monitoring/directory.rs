//! A directory of patients over HTTP that a test may let fail. It keeps the heads of the writes that it got.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::servers::small_http::read_request;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Writes are taken.
    Takes,
    /// Writes are refused, and the answer repeats what was sent.
    Refuses,
    /// Every connection ends without an answer.
    Down,
}

#[derive(Clone)]
pub(crate) struct Directory {
    port: u16,
    state: Arc<Mutex<(Answer, Vec<String>)>>,
}

impl Directory {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let port = listener.local_addr().expect("address").port();
        let directory = Self { port, state: Arc::new(Mutex::new((Answer::Takes, Vec::new()))) };
        let serving = directory.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let directory = serving.clone();
                // A client that goes away ends its thread.
                thread::spawn(move || directory.serve(&stream));
            }
        });
        directory
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it answers so, also on connections that are open.
    pub(crate) fn answer(&self, answer: Answer) {
        self.state.lock().expect("lock").0 = answer;
    }

    /// The heads of the writes so far.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state.lock().expect("lock").1.clone()
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (head, body) = read_request(&mut reader)?;
            let is_write = !head.starts_with("GET ");
            let answer = {
                let mut state = self.state.lock().expect("lock");
                if is_write {
                    state.1.push(head);
                }
                state.0
            };
            let (status, body) = match answer {
                Answer::Down => return None,
                Answer::Refuses if is_write => ("422 Unprocessable", body),
                Answer::Takes | Answer::Refuses => ("200 OK", b"{}".to_vec()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
        }
    }
}
