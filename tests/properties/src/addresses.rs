//! The allow-list of an HTTP target: an accepted request stays on a granted origin and below its path, however a server
//! reads the path, and goes to no private address that was not permitted.
//!
//! Input: a line of base URLs, separated by blanks (`private` among them permits private networks), then the request's
//! URL.

use std::net::IpAddr;
use std::time::Duration;

use host::plugin::fuzzing::check_request;
use http::Uri;
use url::{Host, Url};

use crate::said::within;

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((bases, request)) = text.split_once('\n') else { return };
    let (allow_private, bases): (Vec<&str>, Vec<&str>) = bases.split(' ').partition(|word| *word == "private");
    let allow_private = !allow_private.is_empty();
    let Ok(uri) = request.parse::<Uri>() else { return };
    let verdict = within(Duration::from_secs(1), || check_request(&bases, allow_private, &uri));
    let Ok(url) = verdict else { return };
    assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url), "it is read again as another URL");
    assert!(url.username().is_empty() && url.password().is_none(), "{url} has a user");
    let base = bases.iter().filter_map(|base| Url::parse(base).ok()).find(|base| {
        base.origin() == url.origin()
            && below(base.path(), url.path())
            && below(&resolved(base.path()), &resolved(url.path()))
    });
    assert!(base.is_some(), "{url} is below none of {bases:?}");
    assert_sent_as_judged(&url);
    assert_address(&url, allow_private);
}

/// What is sent is made from the URL: it must say the same in the client's own type.
fn assert_sent_as_judged(url: &Url) {
    let sent: Uri = url.as_str().parse().expect("what was accepted can be sent");
    assert_eq!(sent.path(), url.path(), "another path is sent");
    assert_eq!(sent.host().map(str::to_ascii_lowercase).as_deref(), url.host_str(), "it is sent to another host");
    assert_eq!(sent.port_u16(), url.port(), "it is sent to another port");
}

fn assert_address(url: &Url, allow_private: bool) {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => address.to_canonical(),
        Some(Host::Domain(_)) => return,
        None => panic!("{url} has no host"),
    };
    assert!(!address.is_unspecified() && !address.is_multicast(), "{url} goes nowhere");
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    assert!(allow_private || !is_private, "{url} is private");
    assert_ne!(address, IpAddr::from([169, 254, 169, 254]), "{url} is where a cloud hands out credentials");
}

fn below(base: &str, path: &str) -> bool {
    let base = base.trim_end_matches('/');
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as a careless server resolves it: decoded three times, backslashes turned, parameters and padding cut off,
/// dots followed.
fn resolved(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..3 {
        bytes = decoded(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        let bare = segment.split([';', '?', '#']).next().unwrap_or_default().trim();
        match bare {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    decoded
}
