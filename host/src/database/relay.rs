//! A relay between the driver and a target's server: it counts the bytes of each result, and closes the connection
//! above a limit.
//!
//! The drivers read a value and a row whole, up to a gigabyte, and offer no limit. The relay is a socket in a folder of
//! this process alone, to which the driver connects. Each connection is forwarded to the server unchanged: TLS passes
//! through, and the driver verifies the server by its own name. A result ends where the driver sends again. The relay
//! must never interpret the data. Windows has no such sockets, and so no relay.

#![cfg_attr(not(unix), allow(dead_code, reason = "there is no relay"))]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::DatabaseError;

/// Bytes that a result may have in addition to its values: lengths, names of columns, an error.
const FRAMES_BYTES: u64 = 1 << 20;

/// How long the server may take to accept a connection. The pool waits less long; this ends what it left.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a piece of a request may wait until the server takes it. The driver's own time is shorter; this ends what
/// it left.
const STALLED: Duration = Duration::from_mins(1);

/// What is read at a time.
const REQUEST_BYTES: usize = 16 << 10;
const ANSWER_BYTES: usize = 64 << 10;

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Tcp(String, u16),
    Socket(PathBuf),
}

/// An open relay; closed when it is dropped.
pub(super) struct Relay {
    folder: TempDir,
    state: Arc<RelayState>,
    accepting: tokio::task::AbortHandle,
}

/// What the connections through one relay share.
pub(super) struct RelayState {
    server: Server,
    answer_bytes_max: u64,
    cuts: AtomicU64,
    refused: Mutex<Option<DatabaseError>>,
}

impl RelayState {
    /// How many connections were closed over the limit so far.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Why the server could not be reached the last time; none when it was. The driver itself sees a connection that
    /// ends.
    pub(super) fn refusal(&self) -> Option<DatabaseError> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, refusal: Option<io::Error>) {
        let refusal = refusal.map(|error| DatabaseError::from_sqlx(&sqlx::Error::Io(error)));
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

impl Relay {
    /// The folder of the socket.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn state(&self) -> Arc<RelayState> {
        Arc::clone(&self.state)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[cfg(not(unix))]
impl Relay {
    /// `None`: there are no such sockets here.
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) fn open(_: Server, _: u64, _: &str) -> io::Result<Option<Self>> {
        Ok(None)
    }
}

#[cfg(unix)]
impl Relay {
    /// A relay to this server, with a socket of this name. An answer may have so many bytes of values.
    pub(super) fn open(server: Server, value_bytes_max: u64, name: &str) -> io::Result<Option<Self>> {
        // A socket's path has about a hundred bytes at most.
        let (folder, listener) =
            listen(tempfile::tempdir()?, name).or_else(|_| listen(tempfile::tempdir_in("/tmp")?, name))?;
        // Small values are framed by four bytes each, and a value of theirs counts for one byte at least.
        let answer_bytes_max = value_bytes_max.saturating_add(value_bytes_max / 2).saturating_add(FRAMES_BYTES);
        let state = RelayState { server, answer_bytes_max, cuts: AtomicU64::new(0), refused: Mutex::new(None) };
        let state = Arc::new(state);
        let accepting = tokio::spawn(unix::accept(listener, Arc::clone(&state))).abort_handle();
        Ok(Some(Self { folder, state, accepting }))
    }
}

#[cfg(unix)]
fn listen(folder: TempDir, name: &str) -> io::Result<(TempDir, tokio::net::UnixListener)> {
    let listener = tokio::net::UnixListener::bind(folder.path().join(name))?;
    Ok((folder, listener))
}

#[cfg(unix)]
mod unix {
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    use tokio::net::{TcpStream, UnixListener, UnixStream};

    use super::{
        ANSWER_BYTES, Arc, AtomicU64, CONNECT_TIMEOUT, Duration, Ordering, REQUEST_BYTES, RelayState, STALLED, Server,
        io,
    };

    /// Between two tries when the system has no file handle left.
    const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

    pub(super) async fn accept(listener: UnixListener, state: Arc<RelayState>) {
        loop {
            match listener.accept().await {
                Ok((driver, _)) => drop(tokio::spawn(carry(driver, Arc::clone(&state)))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

    async fn connect(server: &Server) -> io::Result<Halves> {
        match server {
            Server::Tcp(host, port) => {
                let server = TcpStream::connect((host.as_str(), *port)).await?;
                server.set_nodelay(true)?;
                let (answers, requests) = server.into_split();
                Ok((Box::new(answers), Box::new(requests)))
            }
            Server::Socket(path) => {
                let (answers, requests) = UnixStream::connect(path).await?.into_split();
                Ok((Box::new(answers), Box::new(requests)))
            }
        }
    }

    async fn carry(driver: UnixStream, state: Arc<RelayState>) {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(&state.server)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok((answers, requests)) => {
                state.note(None);
                between(driver, answers, requests, &state).await;
            }
            Err(error) => state.note(Some(error)),
        }
    }

    /// Until either side closes, or an answer is too long.
    async fn between(
        driver: UnixStream,
        answers: impl AsyncRead + Unpin,
        requests: impl AsyncWrite + Unpin,
        state: &RelayState,
    ) {
        let (from_driver, to_driver) = driver.into_split();
        let arrived = AtomicU64::new(0);
        tokio::select! {
            _ = forward(from_driver, requests, &arrived) => {}
            _ = back(answers, to_driver, &arrived, state) => {}
        }
    }

    async fn forward(
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        arrived: &AtomicU64,
    ) -> io::Result<()> {
        let mut piece = vec![0; REQUEST_BYTES];
        loop {
            let count = from.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            arrived.store(0, Ordering::Relaxed);
            tokio::time::timeout(STALLED, to.write_all(&piece[..count])).await??;
        }
    }

    async fn back(
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        arrived: &AtomicU64,
        state: &RelayState,
    ) -> io::Result<()> {
        let mut piece = vec![0; ANSWER_BYTES];
        loop {
            let count = from.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            let bytes = arrived.load(Ordering::Relaxed).saturating_add(count as u64);
            if bytes > state.answer_bytes_max {
                state.cuts.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            arrived.store(bytes, Ordering::Relaxed);
            to.write_all(&piece[..count]).await?;
        }
    }
}
