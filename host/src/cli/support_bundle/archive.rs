//! The archive of `host support-bundle`: a compressed tar file with a manifest, for this user alone.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::Part;
use crate::cli::error::CliError;
use crate::domain::hex::hex;

/// The folder that every file of the archive is in.
const FOLDER: &str = "support-bundle";
const MANIFEST: &str = "MANIFEST";

/// What the manifest begins with.
const INTRODUCTION: &str = "\
Support bundle of NeuroNova Sync.

It holds no payload, no name, no identifier of a patient or of a record, no secret, no password, no URL's path or
credentials, and no message that an adapter, a server or another program has worded. Identifiers are left out and not
hashed: there are few enough of them to try them all. Of a message it holds which known phrases occur in it (\"clues\");
equal messages of one file have the same number. `host trace --status failed` shows the words themselves, to you.
";

pub(super) struct Written {
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// # Errors
/// When the file is there.
pub(super) fn refuse_existing(path: &Path) -> Result<(), CliError> {
    // Also where a link leads nowhere.
    if path.symlink_metadata().is_ok() {
        return Err(CliError::Usage(format!(
            "cannot write {}: it is there already; fix: name a new file with --output",
            path.display()
        )));
    }
    Ok(())
}

/// Writes the archive into a new file that only this user can read.
///
/// # Errors
/// When the file is there already or cannot be written; nothing is then left.
pub(super) fn write(path: &Path, parts: &[Part], is_recorded: bool) -> Result<Written, CliError> {
    let cannot = |error: io::Error| {
        CliError::Failed(format!(
            "cannot write {}: {error}; fix: name a new file in a folder of yours with --output",
            path.display()
        ))
    };
    let (files, archive) = pack(parts, is_recorded).map_err(cannot)?;
    let mut file = create(path).map_err(cannot)?;
    if let Err(error) = file.write_all(&archive).and_then(|()| file.sync_all()) {
        // Half an archive helps nobody; the first error is the one to report.
        drop(std::fs::remove_file(path));
        return Err(cannot(error));
    }
    Ok(Written { files, bytes: archive.len() as u64 })
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn pack(parts: &[Part], is_recorded: bool) -> io::Result<(usize, Vec<u8>)> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    add(&mut archive, MANIFEST, &manifest(parts, is_recorded))?;
    let mut files = 1;
    for part in parts {
        if let Ok(content) = &part.content {
            add(&mut archive, part.file, content)?;
            files += 1;
        }
    }
    Ok((files, archive.into_inner()?.finish()?))
}

fn add(archive: &mut tar::Builder<GzEncoder<Vec<u8>>>, name: &str, content: &str) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default());
    archive.append_data(&mut header, format!("{FOLDER}/{name}"), content.as_bytes())
}

fn manifest(parts: &[Part], is_recorded: bool) -> String {
    let mut text = format!(
        "{INTRODUCTION}\nMade at {} by host {}.\n{}\n\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC"),
        env!("CARGO_PKG_VERSION"),
        if is_recorded {
            "The audit of the store has an event of it."
        } else {
            "The audit has no event of it: the store could not be written."
        }
    );
    for Part { file, what, content } in parts {
        let state = match content {
            Ok(content) => {
                format!("{} bytes, sha256 {}", content.len(), hex(&Sha256::digest(content.as_bytes())))
            }
            Err(reason) => format!("MISSING: {reason}"),
        };
        writeln!(text, "{file}\n    {what}\n    {state}").expect("invariant: a String takes text");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn parts() -> [Part; 2] {
        [
            Part { file: "a.json", what: "a part", content: Ok("{}\n".to_owned()) },
            Part { file: "b.json", what: "another", content: Err("connection refused".to_owned()) },
        ]
    }

    #[test]
    fn the_manifest_lists_each_file_and_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.tar.gz");
        assert_eq!(write(&path, &parts(), false).unwrap().files, 2);
        let mut found = Vec::new();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((entry.path().unwrap().to_string_lossy().into_owned(), text));
        }
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["support-bundle/MANIFEST", "support-bundle/a.json"]);
        let manifest = &found[0].1;
        let digest = hex(&Sha256::digest(b"{}\n"));
        assert!(manifest.contains(&format!("a.json\n    a part\n    3 bytes, sha256 {digest}\n")), "{manifest}");
        assert!(manifest.contains("b.json\n    another\n    MISSING: connection refused\n"), "{manifest}");
        assert!(manifest.contains("The audit has no event of it"), "{manifest}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.tar.gz");
        std::fs::write(&path, "kept").unwrap();
        assert_eq!(refuse_existing(&path).unwrap_err().exit_code(), 2);
        assert!(write(&path, &parts(), true).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    }
}
