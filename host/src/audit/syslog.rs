//! Sends each event to a syslog server (RFC 5424), over UDP or to a local socket.
//!
//! It is best effort: the store has the event already. Nothing is sent again, and a receiver that is slow or gone
//! never delays a command. The message is the event as JSON, without another form of its own.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::SyslogAddress;
use crate::domain::audit::AuditEvent;

/// The facility "log audit" of RFC 5424.
const FACILITY: u8 = 13;
/// The severities "notice" and "warning".
const NOTICE: u8 = 5;
const WARNING: u8 = 4;
/// The longest name of a machine in a message.
const MACHINE_CHARS_MAX: usize = 255;

enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Local(std::os::unix::net::UnixDatagram),
}

/// A receiver of events.
pub struct Syslog {
    socket: Socket,
    address: String,
    has_failed: AtomicBool,
}

impl Syslog {
    /// Opens a socket to a receiver. UDP needs none that listens.
    ///
    /// # Errors
    /// When no socket can be opened, or the local one is not there.
    pub fn open(address: &SyslogAddress) -> std::io::Result<Self> {
        let socket = match address {
            SyslogAddress::Udp(receiver) => Socket::Udp(connected(receiver)?),
            #[cfg(unix)]
            SyslogAddress::Local(path) => {
                let socket = std::os::unix::net::UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Socket::Local(socket)
            }
            #[cfg(not(unix))]
            SyslogAddress::Local(_) => return Err(std::io::ErrorKind::Unsupported.into()),
        };
        Ok(Self { socket, address: address.to_string(), has_failed: AtomicBool::new(false) })
    }

    /// Sends an event. A failure is logged once.
    pub fn send(&self, event: &AuditEvent) {
        let message = message(event, std::process::id());
        let sent = match &self.socket {
            Socket::Udp(socket) => socket.send(message.as_bytes()),
            #[cfg(unix)]
            Socket::Local(socket) => socket.send(message.as_bytes()),
        };
        if let Err(error) = sent
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(address = self.address, %error, "cannot send the audit to syslog; the store has it");
        }
    }
}

fn connected(receiver: &SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(if receiver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(receiver)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// An event as a message of RFC 5424: `<PRI>1 TIME HOST APP PROCID MSGID - JSON`.
fn message(event: &AuditEvent, process: u32) -> String {
    let severity = if event.facts.is_success() { NOTICE } else { WARNING };
    let priority = FACILITY * 8 + severity;
    let time = jiff::Timestamp::from_millisecond(event.at)
        .map_or_else(|_| "-".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let machine = &event.facts.operator.machine;
    let machine: String = machine.chars().filter(char::is_ascii_graphic).take(MACHINE_CHARS_MAX).collect();
    let machine = if machine.is_empty() { "-" } else { &machine };
    let json = serde_json::json!(event);
    format!("<{priority}>1 {time} {machine} neuronova-host {process} audit - {json}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{AuditFacts, AuditSubject, Operator};
    use crate::domain::audit_chain::AuditHead;

    fn event(outcome: &str) -> AuditEvent {
        let operator = Operator {
            user: "kim".to_owned(),
            uid: Some(7),
            login: None,
            acting_as: None,
            machine: "ward 3".to_owned(),
            remote: None,
        };
        let facts = AuditFacts {
            command_id: "c".to_owned(),
            operator,
            action: "patient show".to_owned(),
            subject: AuditSubject::patient("P-1"),
            reason: Some("two\nlines".to_owned()),
            outcome: outcome.to_owned(),
        };
        AuditHead::genesis().next(1_700_000_000_123, &facts)
    }

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let text = message(&event("success"), 42);
        let (head, json) = text.split_once(" - ").unwrap();
        assert_eq!(head, "<109>1 2023-11-14T22:13:20.123Z ward3 neuronova-host 42 audit");
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!((&json["action"], &json["aggregate_id"]), (&"patient show".into(), &"P-1".into()));
        assert!(!text.contains('\n'), "{text}");
        assert!(message(&event("failed"), 42).starts_with("<108>1 "));
    }

    #[test]
    fn an_event_arrives_over_udp() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = SyslogAddress::Udp(receiver.local_addr().unwrap());
        Syslog::open(&address).unwrap().send(&event("success"));
        let mut buffer = [0; 4_096];
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), message(&event("success"), std::process::id()));
    }

    #[cfg(unix)]
    #[test]
    fn an_event_arrives_at_a_local_socket_and_a_receiver_that_is_gone_delays_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(Syslog::open(&SyslogAddress::Local(path.clone())).is_err(), "nobody listens");
        let receiver = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::open(&SyslogAddress::Local(path)).unwrap();
        syslog.send(&event("success"));
        let mut buffer = [0; 4_096];
        let length = receiver.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"<109>1 "));
        drop(receiver);
        syslog.send(&event("success"));
        assert!(syslog.has_failed.load(Ordering::Relaxed));
    }
}
