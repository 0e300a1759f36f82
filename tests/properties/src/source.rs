//! Where an adapter comes from: what is accepted is written as it is read, uses no plain http to another machine, and
//! its name leaves no folder.
//!
//! Input: the source as an operator writes it.

use std::path::Path;
use std::time::Duration;

use host::distribution::Source;

use crate::said::within;

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let source = match within(Duration::from_secs(1), || Source::parse(text)) {
        Ok(source) => source,
        Err(error) => {
            // A password in an address is not repeated.
            let has_password = text.split_once("://").is_some_and(|(_, rest)| rest.contains(":Zq7Wv@"));
            assert!(!has_password || !text.starts_with("http") || !error.to_string().contains("Zq7Wv@"), "{error}");
            return;
        }
    };
    assert_eq!(Source::parse(&source.to_string()).ok().as_ref(), Some(&source), "it is written as another: {source}");
    match &source {
        Source::File(path) => assert!(path.is_absolute()),
        Source::Web(url) => {
            assert!(url.username().is_empty() && url.password().is_none());
            let host = url.host_str().expect("an address has a host");
            let is_here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
            assert!(url.scheme() == "https" || (url.scheme() == "http" && is_here), "{url} is plain http");
        }
        Source::Registry(reference) => assert!(reference.tag().is_some() || reference.digest().is_some()),
    }
    if let Ok(name) = source.default_name() {
        let folder = Path::new("/adapters");
        let file = name.file(folder);
        assert_eq!(file.parent(), Some(folder), "{}", file.display());
        assert!(file.components().count() == 3, "{}", file.display());
    }
}
