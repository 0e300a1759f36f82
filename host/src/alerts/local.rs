//! What only this machine sees: free space, the time of day, and when certificates and tokens end.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::Instant;

use super::secret::SecretReader;
use super::server_certificates::AskedServer;
use crate::domain::certificates::certificate_end;
use crate::files;

/// The largest file of certificates that is read.
const CERTIFICATES_BYTES_MAX: u64 = 4 << 20;
/// How long a server may take to show its certificate.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// The time over which lost leases are counted.
const HOUR: Duration = Duration::from_hours(1);

/// Where this machine looks.
#[derive(Clone, Default)]
pub struct LocalSources {
    /// Folders, each with its name in sentences.
    pub folders: Vec<(String, PathBuf)>,
    /// What ends, each with the target that it belongs to (empty for none) and its name in sentences.
    pub ending: Vec<(String, String, EndingThing)>,
}

/// Something that is valid until a time.
#[derive(Clone)]
pub enum EndingThing {
    /// The certificate that a server showed last.
    Server(Arc<dyn Fn() -> Option<i64> + Send + Sync>),
    /// The certificate of a server that is asked for it.
    Asked(AskedServer),
    /// A file with certificates (PEM). Of several the first to end counts.
    Certificates(PathBuf),
    /// An access token. One that is a JWT has its end in it.
    Token(SecretReader),
}

/// The free space of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) free_bytes: u64,
}

/// When something ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) name: String,
    pub(super) target: String,
    /// Milliseconds since 1970-01-01 UTC; `None` when it is not known.
    pub(super) ends_at: Option<i64>,
}

impl LocalSources {
    /// Reads everything. It blocks for as long as the disk does.
    pub(super) fn read(&self) -> (Vec<Disk>, Vec<Ending>) {
        let disk = |(name, folder): &(String, PathBuf)| {
            free_bytes(folder).map(|free_bytes| Disk { name: name.clone(), free_bytes })
        };
        let ending = |(target, name, thing): &(String, String, EndingThing)| Ending {
            name: name.clone(),
            target: target.clone(),
            ends_at: thing.ends_at(),
        };
        (self.folders.iter().filter_map(disk).collect(), self.ending.iter().map(ending).collect())
    }

    /// Asks all servers for their certificates at the same time.
    pub(super) async fn ask_servers(&self) {
        let asking = self.ending.iter().filter_map(|(_, name, thing)| match thing {
            EndingThing::Asked(server) => Some(server.ask(name, ASK_TIMEOUT)),
            EndingThing::Server(_) | EndingThing::Certificates(_) | EndingThing::Token(_) => None,
        });
        futures::future::join_all(asking).await;
    }
}

impl EndingThing {
    fn ends_at(&self) -> Option<i64> {
        match self {
            Self::Server(ends_at) => ends_at(),
            Self::Asked(server) => server.ends_at(),
            Self::Certificates(path) => certificates_end(&files::read(path, CERTIFICATES_BYTES_MAX).ok()?),
            Self::Token(read) => token_end(read().ok()?.expose()),
        }
    }
}

fn certificates_end(pem: &[u8]) -> Option<i64> {
    CertificateDer::pem_slice_iter(pem).filter_map(|der| certificate_end(&der.ok()?)).min()
}

/// `exp` of a JWT. Its signature is the server's matter.
fn token_end(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_i64()?.checked_mul(1_000)
}

/// The free space for this user; `None` where the system does not tell.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// The minute of the day by this machine's time zone.
pub(super) fn minute_of_day() -> u16 {
    let now = jiff::Zoned::now();
    u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs())
}

/// How a counter of each target grew within an hour.
#[derive(Debug, Default)]
pub(super) struct HourlyGrowth {
    counted: BTreeMap<String, VecDeque<(Instant, u64)>>,
}

impl HourlyGrowth {
    /// Notes a counter, and returns by how much it grew within the hour.
    pub(super) fn note(&mut self, target: &str, counter: u64, now: Instant) -> u64 {
        let earlier = self.counted.entry(target.to_owned()).or_default();
        // The last one that is older than an hour stays.
        while earlier.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= HOUR) {
            earlier.pop_front();
        }
        earlier.push_back((now, counter));
        counter.saturating_sub(earlier.front().map_or(0, |(_, first)| *first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    #[test]
    fn growth_is_that_of_the_last_hour() {
        let (mut growth, begin) = (HourlyGrowth::default(), Instant::now());
        let minute = |minutes| begin + Duration::from_mins(minutes);
        assert_eq!(growth.note("a", 5, minute(0)), 0, "what was counted before is not new");
        assert_eq!(growth.note("a", 8, minute(30)), 3);
        assert_eq!(growth.note("b", 1, minute(30)), 0);
        assert_eq!(growth.note("a", 9, minute(60)), 4);
        assert_eq!(growth.note("a", 9, minute(95)), 1, "since minute 30");
        assert_eq!(growth.note("a", 9, minute(200)), 0);
    }

    #[test]
    fn the_end_of_a_token_is_read() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"host","exp":1900000000}"#);
        assert_eq!(token_end(&format!("e30.{claims}.c2ln")), Some(1_900_000_000_000));
        for other in ["", "opaque", "a.b.c", "e30.e30.e30"] {
            assert_eq!(token_end(other), None, "{other}");
        }
    }

    #[test]
    fn of_several_certificates_the_first_to_end_counts() {
        let pem = |year| {
            let mut parameters = rcgen::CertificateParams::new(vec!["h".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        let found = certificates_end(format!("{}{}", pem(2040), pem(2035)).as_bytes());
        assert_eq!(found, Some(2_051_222_400_000), "2035-01-01");
        assert_eq!(certificates_end(b"no certificate"), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let failing: SecretReader = Arc::new(|| Err(std::io::Error::other("gone")));
        let opaque: SecretReader = Arc::new(|| Ok(Secret::new("opaque")));
        let of = |name: &str, thing| (String::new(), name.to_owned(), thing);
        let sources = LocalSources {
            folders: vec![("here".to_owned(), folder.path().into()), ("gone".to_owned(), "/nonexistent/f".into())],
            ending: vec![
                of("file", EndingThing::Certificates("/nonexistent/f".into())),
                of("secret", EndingThing::Token(failing)),
                of("opaque", EndingThing::Token(opaque)),
                of("server", EndingThing::Server(Arc::new(|| Some(7)))),
                of("not asked", EndingThing::Asked(AskedServer::new(|| std::future::ready(Ok(Some(7)))))),
            ],
        };
        let (disks, endings) = sources.read();
        assert!(disks.len() == 1 && disks[0].name == "here" && disks[0].free_bytes > 0, "{disks:?}");
        let ends: Vec<_> = endings.iter().map(|ending| ending.ends_at).collect();
        assert_eq!(ends, [None, None, None, Some(7), None]);
    }
}
