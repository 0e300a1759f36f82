//! `[audit]`: which commands need a reason, and where events are sent in addition to the store.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::section_reader::SectionReader;
use crate::domain::audit::AuditAction;

/// `[audit]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// The commands that are refused without `--reason`.
    pub require_reason: Vec<AuditAction>,
    /// A syslog server that gets each event.
    pub syslog: Option<SyslogAddress>,
}

/// Where a syslog server receives messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// An address without a name, so that no name server can delay a command.
    Udp(SocketAddr),
    /// A datagram socket of this machine.
    Local(PathBuf),
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(receiver) => write!(formatter, "udp://{receiver}"),
            Self::Local(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl SyslogAddress {
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Local(text.into()));
        }
        let receiver: SocketAddr = text.strip_prefix("udp://")?.parse().ok()?;
        (receiver.port() > 0).then_some(Self::Udp(receiver))
    }
}

pub(super) fn read_audit(mut audit: SectionReader<'_>) -> AuditConfig {
    let words = audit.texts("require_reason").unwrap_or_default();
    let named: Vec<_> = words.iter().map(|word| AuditAction::named(&word.value)).collect();
    if let Some(unknown) = named.iter().position(Vec::is_empty) {
        // The word may come from a variable, so that it is not shown.
        let (which, known) = (unknown + 1, AuditAction::names().join(", "));
        audit.note_key("require_reason", format!("entry {which} is not an audited command; known: {known}"));
    }
    let syslog = audit.text("syslog").and_then(|entry| {
        let address = SyslogAddress::parse(&entry.value);
        if address.is_none() {
            audit.note_key("syslog", "must be udp://IP-ADDRESS:PORT, or the path of a local socket, as /dev/log");
        }
        address
    });
    audit.finish(&[]);
    AuditConfig { require_reason: named.concat(), syslog }
}
