//! A web server that takes the messages of alerts as docs/operations.md advises: it verifies the signature, and refuses
//! what is old.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac;
use serde_json::Value;

use tests::servers::small_http::read_request;

#[derive(Clone)]
pub(crate) struct Receiver {
    port: u16,
    secret: String,
    /// Whether it gives no answer.
    hangs: Arc<AtomicBool>,
    received: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub(crate) fn start(secret: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let receiver = Self {
            port: listener.local_addr().expect("address").port(),
            secret: secret.to_owned(),
            hangs: Arc::default(),
            received: Arc::default(),
            refused: Arc::default(),
        };
        let serving = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = serving.clone();
                // A client that goes away ends its thread.
                thread::spawn(move || receiver.serve(&stream));
            }
        });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?token=of-the-url", self.port)
    }

    /// From now on it takes requests and gives no answer, or answers again.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::SeqCst);
    }

    /// What came with a valid signature, also what was not answered.
    pub(crate) fn received(&self) -> Vec<Value> {
        self.received.lock().expect("lock").clone()
    }

    /// How many messages of this event came.
    pub(crate) fn count(&self, event: &str) -> usize {
        self.received().iter().filter(|message| message["event"] == event).count()
    }

    /// Why requests were refused.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("lock").clone()
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (head, body) = read_request(&mut reader)?;
            let status = match self.check(&head, &body) {
                Ok(message) => {
                    self.received.lock().expect("lock").push(message);
                    "204 No Content"
                }
                Err(reason) => {
                    self.refused.lock().expect("lock").push(reason);
                    "403 Forbidden"
                }
            };
            if self.hangs.load(Ordering::SeqCst) {
                // The client goes away in the end.
                return read_request(&mut reader).map(drop);
            }
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
        }
    }

    fn check(&self, head: &str, body: &[u8]) -> Result<Value, String> {
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
            line.ok_or_else(|| format!("no {name} in {head}"))
        };
        if !head.starts_with("POST /hook?token=of-the-url HTTP/1.1\r\n") {
            return Err(format!("another request: {head}"));
        }
        let timestamp = header("neuronova-timestamp: ")?;
        let seconds: u64 = timestamp.parse().map_err(|_| "no time".to_owned())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        if now.abs_diff(Duration::from_secs(seconds)) > Duration::from_secs(300) {
            return Err("it is old".to_owned());
        }
        let signature = header("neuronova-signature: v1=")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signed = [timestamp.as_bytes(), b".", body].concat();
        hmac::verify(&key, &signed, &bytes_of(&signature)).map_err(|_| "a wrong signature".to_owned())?;
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let pair = |at| hexadecimal.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..hexadecimal.len()).step_by(2).map_while(pair).collect()
}
