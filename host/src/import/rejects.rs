//! Writes the file of rejects: one JSON object for each record that was not imported (`problems`), or was imported
//! without some fields (`left_out`). Only its owner can read it. It holds no value of a patient unless requested.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{ImportError, Reject};

/// The file of rejects. It is created at the first reject.
pub struct Rejects {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Rejects {
    /// Starts a new file, and removes that of an earlier import.
    ///
    /// # Errors
    /// When the earlier file cannot be removed.
    pub fn begin(path: &Path) -> Result<Self, ImportError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, &error)),
            _ => Ok(Self { path: path.to_owned(), file: None, bytes: 0 }),
        }
    }

    /// Continues after the first `bytes`. Cuts off the rest, which an earlier run wrote without recording it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resume(path: &Path, bytes: u64) -> Result<Self, ImportError> {
        if bytes == 0 {
            return Self::begin(path);
        }
        let mut file = open(path).map_err(|error| failed(path, &error))?;
        let length = file.seek(SeekFrom::End(0)).map_err(|error| failed(path, &error))?;
        let kept = bytes.min(length);
        file.set_len(kept).and_then(|()| file.seek(SeekFrom::Start(kept))).map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), file: Some(file), bytes: kept })
    }

    /// The length of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes everything after the first `bytes`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cut(&mut self, bytes: u64) -> Result<(), ImportError> {
        if let Some(file) = self.file.as_mut().filter(|_| bytes < self.bytes) {
            let cut = file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes)));
            cut.map_err(|error| failed(&self.path, &error))?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Writes rejects to the disk and returns the length of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, rejects: &[Reject]) -> Result<u64, ImportError> {
        if rejects.is_empty() {
            return Ok(self.bytes);
        }
        let mut text = String::new();
        for reject in rejects {
            text.push_str(&line(reject).to_string());
            text.push('\n');
        }
        self.append(text.as_bytes()).map_err(|error| failed(&self.path, &error))?;
        self.bytes += text.len() as u64;
        Ok(self.bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes)?;
        file.sync_data()
    }
}

fn line(reject: &Reject) -> Value {
    let problems: Vec<_> =
        reject.problems.iter().map(|problem| json!({ "field": problem.field, "reason": problem.message })).collect();
    let kind = if reject.is_taken { "left_out" } else { "problems" };
    let mut line = json!({ "line": reject.line, kind: problems });
    if let (Some(record), Some(object)) = (&reject.record, line.as_object_mut()) {
        object.insert("record".to_owned(), record.clone());
    }
    line
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn failed(path: &Path, error: &io::Error) -> ImportError {
    ImportError { file: path.to_owned(), line: None, message: format!("cannot be written: {error}") }
}
