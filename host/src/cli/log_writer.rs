//! Sends log lines through a bounded queue to one thread, the only one that writes to stderr.
//!
//! Logging never blocks or fails because of stderr: a closed pipe, a full disk or a closed descriptor loses lines, but
//! never delays work. Lost lines are counted, and the count is logged when lines can be written again. An event is one
//! line: text in it can neither begin another line nor move a terminal's cursor.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::output::harmless;

/// The maximum number of lines that wait to be written.
const WAITING_MAX: usize = 4_096;

/// A message to the writing thread.
enum Message {
    Line(Vec<u8>),
    /// A request to report when all earlier lines were written or lost.
    Flushed(SyncSender<()>),
}

/// A handle of the log. Clones share its queue.
#[derive(Clone)]
pub(super) struct LogWriter {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, messages) = sync_channel(WAITING_MAX);
        let lost = Arc::<AtomicU64>::default();
        let counted = lost.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(output, &messages, &counted))?;
        Ok(Self { sender, lost })
    }

    /// Waits until all lines so far are written, but at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        // A full queue means that stderr is blocked.
        if self.sender.try_send(Message::Flushed(done)).is_ok() {
            let _in_time = written.recv_timeout(limit);
        }
    }

    fn send(&self, line: Vec<u8>) {
        match self.sender.try_send(Message::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn write_all(mut output: impl Write, messages: &Receiver<Message>, lost: &AtomicU64) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let missing = lost.load(Ordering::Relaxed);
                // Only the reported number is subtracted, so that lines lost during this write are counted.
                if missing > 0 && writeln!(output, "{missing} log lines were lost: cannot write to stderr").is_ok() {
                    lost.fetch_sub(missing, Ordering::Relaxed);
                }
                if output.write_all(&line).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flushed(done) => {
                drop(output.flush());
                // The requester may have given up.
                let _heard = done.try_send(());
            }
        }
    }
}

/// Collects the text of one event and sends it as one line.
pub(super) struct Line {
    writer: LogWriter,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            let text = String::from_utf8_lossy(&self.text);
            let event = text.strip_suffix('\n').unwrap_or(&text).replace('\n', "\\n");
            self.writer.send(format!("{}\n", harmless(&event)).into_bytes());
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { writer: self.clone(), text: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An output for tests, which fails, accepts or blocks on command.
    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        refuses: bool,
        text: String,
    }

    impl Write for Output {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap();
            if state.refuses {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.text.push_str(&String::from_utf8_lossy(text));
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(writer: &LogWriter, line: &str) {
        writer.make_writer().write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted() {
        let output = Output::default();
        let writer = LogWriter::start(output.clone()).unwrap();
        let refuse = |refuses| output.0.lock().unwrap().refuses = refuses;
        refuse(true);
        log(&writer, "one\n");
        log(&writer, "two\n");
        writer.flush(Duration::from_secs(20));
        refuse(false);
        log(&writer, "three\n");
        writer.flush(Duration::from_secs(20));
        assert_eq!(output.0.lock().unwrap().text, "2 log lines were lost: cannot write to stderr\nthree\n");
    }

    #[test]
    fn an_event_with_line_breaks_is_logged_as_one_line() {
        let output = Output::default();
        let writer = LogWriter::start(output.clone()).unwrap();
        log(&writer, "WARN a\n2026-01-01 ERROR forged\u{1b}[2J\u{7}\n");
        writer.flush(Duration::from_secs(20));
        assert_eq!(output.0.lock().unwrap().text, "WARN a\\n2026-01-01 ERROR forged\\u{1b}[2J\\u{7}\n");
    }

    #[test]
    fn a_blocked_output_delays_no_logging() {
        let output = Output::default();
        let held = output.0.lock().unwrap();
        let writer = LogWriter::start(output.clone()).unwrap();
        for _ in 0..WAITING_MAX * 2 {
            log(&writer, "line\n");
        }
        writer.flush(Duration::from_millis(10));
        assert!(writer.lost.load(Ordering::Relaxed) >= WAITING_MAX as u64 - 1);
        drop(held);
    }
}
