//! `[observability]`: where this host shows its metrics, its health and its status.

use std::net::{Ipv4Addr, SocketAddr};

use super::section_reader::SectionReader;

/// Where a host listens unless it is configured. The port is the usual one of Prometheus exporters of OpenTelemetry.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9_464);

/// `[observability]`: the listener of `host run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservabilityConfig {
    /// The address of the listener; `None` when it is off.
    pub listen: Option<SocketAddr>,
}

pub(super) fn read_observability(mut section: SectionReader<'_>) -> ObservabilityConfig {
    let enabled = section.boolean("enabled", true);
    let allow_remote = section.boolean("allow_remote", false);
    let address = match section.text("listen") {
        None => DEFAULT_ADDRESS,
        Some(text) => text.value.parse().unwrap_or_else(|_| {
            section.note_key("listen", "must be an IP address and a port, for example \"127.0.0.1:9464\"");
            DEFAULT_ADDRESS
        }),
    };
    if !address.ip().is_loopback() && !allow_remote {
        section.note_key(
            "listen",
            "can be reached from other machines, and asks nobody for a password; fix: take a loopback address, or \
             write allow_remote = true",
        );
    }
    section.finish(&[]);
    ObservabilityConfig { listen: enabled.then_some(address) }
}
