//! `adapters.lock`: what is read can be written and is read as the same; what is refused is told in one line.
//!
//! Input: the file.

use std::fs;
use std::time::Duration;

use host::distribution::{AdapterName, Lock, Pin};

use crate::said::{assert_plain, within};

/// See the module.
pub fn check(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("adapters.lock");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("write");
        within(Duration::from_secs(2), || Lock::read(&path))
    };
    let mut lock = match read(data) {
        Ok(lock) => lock,
        Err(error) => return assert_plain(&error.to_string().replace(&path.display().to_string(), ""), 1_000),
    };
    assert_eq!(read(lock.text().as_bytes()).ok().as_ref(), Some(&lock), "what was written is read as another");
    for (index, pin) in lock.pins().iter().enumerate() {
        assert!(lock.pins()[..index].iter().all(|other| other.name != pin.name), "`{}` is pinned twice", pin.name);
        assert_eq!(lock.pin(&pin.name), Some(pin));
        assert!(AdapterName::parse(&pin.name).is_ok(), "`{}` is no name of a file", pin.name);
        assert_eq!(pin.digest.len(), 71);
        let shown = [&pin.source, &pin.digest].into_iter().chain(&pin.manifest);
        shown.for_each(|text| assert_plain(text, 20_000));
    }
    let pin = Pin {
        name: "a".to_owned(),
        source: "/a.wasm".to_owned(),
        digest: format!("sha256:{}", "0".repeat(64)),
        manifest: None,
    };
    lock.put(pin.clone());
    let again = read(lock.text().as_bytes()).expect("a lock that was added to is read");
    assert_eq!(again.pin("a"), Some(&pin));
}
