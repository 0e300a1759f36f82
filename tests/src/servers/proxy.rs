//! Owns a TCP proxy on loopback that a test tells what to do to the connections through it: pass, delay, hold back the
//! answers, hold back everything, answer in the server's place (all or what holds a text), cut, close one half, refuse.
//! Of what passes it understands one thing: whether a piece begins an HTTP request that writes.
//!
//! It works with threads of its own, so that a test may block its own thread on a process meanwhile.

use std::{
    collections::{BTreeMap, HashSet},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::process::free_port;
use crate::mutex::lock;

#[derive(Debug, Clone)]
enum Behaviour {
    Pass,
    Delay(Duration),
    HoldAnswers,
    HoldAll,
    HoldWrites,
    HoldAnswersToWrites,
    Answer(Arc<[u8]>),
    AnswerTo(Arc<[u8]>, Arc<[u8]>),
}

/// Which half of a connection is closed, as the other half sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The client reads no more: its server seems to have ended.
    ToClient,
    /// The server reads no more: its client seems to have ended.
    ToServer,
}

#[derive(Default)]
struct Connections {
    open: Vec<(u64, TcpStream, TcpStream)>,
    opened: u64,
    /// Those whose latest HTTP request writes.
    writing: HashSet<u64>,
    /// Pieces that were held back so far.
    held: u64,
    /// What clients sent, by connection, where that is kept.
    sent: Option<BTreeMap<u64, Vec<u8>>>,
}

struct Shared {
    upstream: SocketAddr,
    behaviour: Mutex<Behaviour>,
    changed: Condvar,
    connections: Mutex<Connections>,
}

/// A proxy in front of one server. Dropping it cuts every connection and refuses new ones.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<(JoinHandle<()>, Arc<Mutex<bool>>)>,
}

impl Proxy {
    /// Starts one in front of `upstream_port` of 127.0.0.1, passing everything.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(upstream_port: u16) -> Result<Self> {
        let shared = Shared {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port)),
            behaviour: Mutex::new(Behaviour::Pass),
            changed: Condvar::new(),
            connections: Mutex::default(),
        };
        let mut proxy = Self { port: free_port()?, shared: Arc::new(shared), accepting: None };
        proxy.pass()?;
        Ok(proxy)
    }

    /// Its port on 127.0.0.1, the same for its whole life.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the server behind it, with this proxy's port in place of the server's.
    #[must_use]
    pub fn address_of(&self, upstream_url: &str) -> String {
        upstream_url.replace(&format!(":{}", self.shared.upstream.port()), &format!(":{}", self.port))
    }

    /// Passes everything from now on, also what was held back.
    ///
    /// # Errors
    /// When its port was taken by someone else while it refused.
    pub fn pass(&mut self) -> Result<()> {
        self.behave(Behaviour::Pass)
    }

    /// Passes everything, each piece `pause` late.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn delay(&mut self, pause: Duration) -> Result<()> {
        self.behave(Behaviour::Delay(pause))
    }

    /// Passes what clients send and holds back what the server answers: the work is done and the answer is lost.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn hold_answers(&mut self) -> Result<()> {
        self.behave(Behaviour::HoldAnswers)
    }

    /// Passes everything but HTTP requests that write, which hang in the network: what passes later arrives late, also
    /// when its client has given it up.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn hold_writes(&mut self) -> Result<()> {
        self.behave(Behaviour::HoldWrites)
    }

    /// Passes everything but the answers to HTTP requests that write: the server does the work and the answer is lost.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn hold_answers_to_writes(&mut self) -> Result<()> {
        self.behave(Behaviour::HoldAnswersToWrites)
    }

    /// How many pieces were held back so far.
    #[must_use]
    pub fn held(&self) -> u64 {
        lock(&self.shared.connections).held
    }

    /// Keeps what clients send from now on.
    pub fn keep_what_is_sent(&self) {
        lock(&self.shared.connections).sent = Some(BTreeMap::new());
    }

    /// What clients sent since [`Proxy::keep_what_is_sent`], connection by connection.
    #[must_use]
    pub fn sent(&self) -> Vec<Vec<u8>> {
        lock(&self.shared.connections).sent.iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Passes nothing in either direction, as a network does that loses everything.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn hold_all(&mut self) -> Result<()> {
        self.behave(Behaviour::HoldAll)
    }

    /// Answers whatever a client sends with these bytes and ends the connection; the server sees nothing of it.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn answer(&mut self, bytes: &[u8]) -> Result<()> {
        self.behave(Behaviour::Answer(bytes.into()))
    }

    /// As [`Proxy::answer`], of what holds this text alone; everything else passes.
    ///
    /// # Errors
    /// As [`Proxy::pass`].
    pub fn answer_to(&mut self, text: &str, bytes: &[u8]) -> Result<()> {
        self.behave(Behaviour::AnswerTo(text.as_bytes().into(), bytes.into()))
    }

    /// Closes one half of every open connection; new ones are taken as before.
    pub fn half_close(&self, half: Half) {
        for (_, client, server) in &lock(&self.shared.connections).open {
            // A connection that is already down cannot be half closed.
            let _closed = match half {
                Half::ToClient => client.shutdown(Shutdown::Write),
                Half::ToServer => server.shutdown(Shutdown::Write),
            };
        }
    }

    /// Cuts every open connection; new ones are taken as before.
    pub fn cut(&self) {
        for (_, client, server) in lock(&self.shared.connections).open.drain(..) {
            // A connection that is already down is as cut as can be.
            let _client = client.shutdown(Shutdown::Both);
            let _server = server.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// Cuts every open connection for its client alone: what was sent and is held goes on to the server when it passes,
    /// and what the server answers is lost.
    pub fn cut_clients(&self) {
        for (_, client, _) in &lock(&self.shared.connections).open {
            // A connection that is already down is as cut as can be.
            let _client = client.shutdown(Shutdown::Both);
        }
    }

    /// Cuts every open connection and refuses new ones, as a server that is down does.
    ///
    /// # Panics
    /// When its own accepting thread did, which would be a defect of this file.
    pub fn refuse(&mut self) {
        if let Some((thread, ended)) = self.accepting.take() {
            *lock(&ended) = true;
            // The thread waits for a connection: this one wakes it.
            let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            thread.join().expect("invariant: the accepting thread does not panic");
        }
        self.cut();
    }

    fn behave(&mut self, behaviour: Behaviour) -> Result<()> {
        *lock(&self.shared.behaviour) = behaviour;
        self.shared.changed.notify_all();
        if self.accepting.is_none() {
            let listener =
                TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).with_context(|| format!("bind {}", self.port))?;
            let ended = Arc::new(Mutex::new(false));
            let (shared, ends) = (Arc::clone(&self.shared), Arc::clone(&ended));
            self.accepting = Some((thread::spawn(move || accept(&listener, &shared, &ends)), ended));
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    /// Waits as long as the behaviour asks; false once the connection is no longer among the open ones.
    fn wait(&self, connection: u64, is_answer: bool) -> bool {
        let began = Instant::now();
        let mut behaviour = lock(&self.behaviour);
        let mut is_held = false;
        loop {
            if !lock(&self.connections).open.iter().any(|(id, ..)| *id == connection) {
                return false;
            }
            let left = match &*behaviour {
                Behaviour::Pass | Behaviour::Answer(_) | Behaviour::AnswerTo(..) => return true,
                Behaviour::HoldAnswers if !is_answer => return true,
                Behaviour::HoldWrites if is_answer || !self.is_writing(connection) => return true,
                Behaviour::HoldAnswersToWrites if !is_answer || !self.is_writing(connection) => return true,
                Behaviour::HoldAnswers
                | Behaviour::HoldAll
                | Behaviour::HoldWrites
                | Behaviour::HoldAnswersToWrites => {
                    if !is_held {
                        is_held = true;
                        lock(&self.connections).held += 1;
                    }
                    Duration::from_secs(1)
                }
                Behaviour::Delay(pause) => pause.saturating_sub(began.elapsed()),
            };
            if left.is_zero() {
                return true;
            }
            (behaviour, _) = self.changed.wait_timeout(behaviour, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_writing(&self, connection: u64) -> bool {
        lock(&self.connections).writing.contains(&connection)
    }

    /// Keeps a piece where that was asked for, and notes whether it begins a request that writes. One that begins no
    /// request is more of the one before.
    fn look_at_request(&self, connection: u64, piece: &[u8]) {
        let begins = |methods: &[&str]| methods.iter().any(|method| piece.starts_with(method.as_bytes()));
        if let Some(sent) = &mut lock(&self.connections).sent {
            sent.entry(connection).or_default().extend_from_slice(piece);
        }
        if begins(&["POST ", "PUT ", "PATCH ", "DELETE "]) {
            lock(&self.connections).writing.insert(connection);
        } else if begins(&["GET ", "HEAD ", "OPTIONS "]) {
            lock(&self.connections).writing.remove(&connection);
        }
    }

    fn close(&self, connection: u64) {
        let mut connections = lock(&self.connections);
        connections.writing.remove(&connection);
        if let Some(index) = connections.open.iter().position(|(id, ..)| *id == connection) {
            let (_, client, server) = connections.open.swap_remove(index);
            let _client = client.shutdown(Shutdown::Both);
            let _server = server.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, ended: &Mutex<bool>) {
    for client in listener.incoming() {
        if *lock(ended) {
            return;
        }
        // A client that left again, or a server that is down: the client sees its connection closed.
        let Ok(client) = client else { continue };
        let Ok(server) = TcpStream::connect(shared.upstream) else { continue };
        let _unset = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let copies = client.try_clone().and_then(|c| Ok((c, server.try_clone()?, client.try_clone()?)));
        let Ok((client_for_cut, server_for_cut, client_to_write)) = copies else { continue };
        let Ok(server_to_write) = server.try_clone() else { continue };
        let connection = {
            let mut connections = lock(&shared.connections);
            connections.opened += 1;
            let id = connections.opened;
            connections.open.push((id, client_for_cut, server_for_cut));
            id
        };
        for (from, to, is_answer) in [(client, server_to_write, false), (server, client_to_write, true)] {
            let shared = Arc::clone(shared);
            thread::spawn(move || copy(from, to, &shared, connection, is_answer));
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared, connection: u64, is_answer: bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes) = from.read(&mut buffer) {
        let canned = match &*lock(&shared.behaviour) {
            Behaviour::Answer(canned) if bytes > 0 && !is_answer => Some(Arc::clone(canned)),
            Behaviour::AnswerTo(text, canned) if !is_answer && holds(&buffer[..bytes], text) => {
                Some(Arc::clone(canned))
            }
            _ => None,
        };
        if let Some(canned) = canned {
            answer_instead(&mut from, &canned);
            break;
        }
        if !is_answer {
            shared.look_at_request(connection, &buffer[..bytes]);
        }
        if bytes == 0 || !shared.wait(connection, is_answer) || to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    shared.close(connection);
}

fn holds(piece: &[u8], text: &[u8]) -> bool {
    piece.windows(text.len()).any(|window| window == text)
}

/// Answers and lets the client finish: who closes on unread bytes resets the connection, and the answer is lost.
fn answer_instead(client: &mut TcpStream, canned: &[u8]) {
    let mut rest = [0; 4096];
    let sent = client.write_all(canned).and_then(|()| client.shutdown(Shutdown::Write));
    let _limited = client.set_read_timeout(Some(Duration::from_secs(1)));
    while sent.is_ok() && client.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
}

#[cfg(test)]
mod tests;
