//! `host resync --patients FILE`: queues current states of the patients whose ids a file lists, one on each line.
//!
//! The file is read as a stream. Each page of patients that the host has rows of is one transaction. All others are
//! found in one scan of the outbox. A line is never printed, unless it has the form of an id: the file may be a wrong
//! one, with patients' data in it.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::error::CliError;
use super::output;
use super::resync_outbox::{resend, show};
use crate::config::TargetConfig;
use crate::domain::ids::AggregateKey;
use crate::domain::patient::PatientId;
use crate::files;
use crate::store::{Resend, ResendScope, Store};

/// The longest accepted line in bytes.
const LINE_BYTES_MAX: u64 = 1_024;
/// Ids that one statement looks up.
const LOOKED_UP: usize = 1_000;
/// Unknown ids that are listed.
const LISTED_MAX: usize = 100;

/// An id with its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    line: u64,
    patient_id: String,
}

/// Reads ids page by page, each once.
struct PatientList {
    reader: Box<dyn BufRead>,
    name: String,
    line: u64,
    met: HashSet<String>,
}

/// Queues the listed patients. Those that the store does not know are listed, and the exit code is 1.
pub(super) async fn run(
    store: &Store,
    target: &TargetConfig,
    file: &Path,
    page: u32,
    pause: Duration,
) -> Result<ExitCode, CliError> {
    let mut ids = PatientList::open(file)?;
    let (mut queued, mut others) = (0, Vec::new());
    loop {
        let listed = ids.page(page as usize)?;
        let Some(last) = listed.last().map(|last| last.line) else { break };
        let keys: Vec<_> = listed.iter().map(Listed::key).collect();
        let own = store.resync_own(&target.name, &keys, &HashSet::new()).await?;
        others.extend(listed.into_iter().filter(|one| !own.contains(&one.key())));
        if !own.is_empty() {
            queued += own.len();
            output::line(&format!("   [OK] {} patients queued, up to line {last}", own.len()));
            tokio::time::sleep(pause).await;
        }
    }
    if ids.met.is_empty() {
        return Err(CliError::Usage(format!("{} lists no id; fix: write one id on each line", ids.name)));
    }
    output::line(&format!("{queued} patients queued for {} sync", target.name));
    if others.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let unknown = resend_others(store, target, &others, pause).await?;
    Ok(report_unknown(&unknown, ids.met.len()))
}

/// Sends again those that only the outbox holds. Returns those of which the store knows nothing.
async fn resend_others<'a>(
    store: &Store,
    target: &TargetConfig,
    others: &'a [Listed],
    pause: Duration,
) -> Result<Vec<&'a Listed>, CliError> {
    let keys = others.iter().map(Listed::key).collect();
    let mut walk = Resend::new(target.name.clone(), ResendScope::These(keys), None);
    resend(store, &mut walk, pause).await?;
    let (mut counts, mut unknown) = (walk.counts(), Vec::new());
    let unmet: Vec<_> = others.iter().filter(|one| !walk.has_met(&one.key())).collect();
    for some in unmet.chunks(LOOKED_UP) {
        let ids: Vec<_> = some.iter().map(|one| one.patient_id.as_str()).collect();
        let known = store.known_patients(&ids).await?;
        counts.without_state += u64::try_from(known.len()).unwrap_or(u64::MAX);
        unknown.extend(some.iter().copied().filter(|one| !known.contains(&one.patient_id)));
    }
    if unknown.len() < others.len() {
        show(&counts, target);
    }
    Ok(unknown)
}

fn report_unknown(unknown: &[&Listed], listed: usize) -> ExitCode {
    for one in unknown.iter().take(LISTED_MAX) {
        output::line(&format!("   [WARNING] line {}: the store has no patient {}", one.line, one.shown()));
    }
    if let Some(others) = unknown.len().checked_sub(LISTED_MAX).filter(|others| *others > 0) {
        output::line(&format!("   [WARNING] and {others} more"));
    }
    if unknown.is_empty() {
        return ExitCode::SUCCESS;
    }
    output::line(&format!(
        "the store does not know {} of the {listed} patients; the others are queued; fix: correct these lines, and run the \
         command with them alone",
        unknown.len()
    ));
    ExitCode::from(1)
}

impl Listed {
    fn key(&self) -> AggregateKey {
        AggregateKey::patient(&self.patient_id)
    }

    fn shown(&self) -> String {
        match PatientId::new(self.patient_id.as_str()) {
            Some(id) => format!("`{}`", id.as_str()),
            None => "of that text, which is not shown since it has not the form of an id".to_owned(),
        }
    }
}

impl PatientList {
    fn open(file: &Path) -> Result<Self, CliError> {
        let name = if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() };
        let reader: Box<dyn BufRead> = if file.as_os_str() == "-" {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let opened = files::open(file);
            let unreadable = |error| CliError::Config(format!("cannot read {name}: {error}"));
            Box::new(BufReader::new(opened.map_err(unreadable)?))
        };
        Ok(Self { reader, name, line: 0, met: HashSet::new() })
    }

    /// The next ids, at most `count`; none at the end.
    fn page(&mut self, count: usize) -> Result<Vec<Listed>, CliError> {
        let mut page = Vec::new();
        while page.len() < count {
            let Some(text) = self.next_line()? else { break };
            let patient_id = text.trim().to_owned();
            if !patient_id.is_empty() && self.met.insert(patient_id.clone()) {
                page.push(Listed { line: self.line, patient_id });
            }
        }
        Ok(page)
    }

    fn next_line(&mut self) -> Result<Option<String>, CliError> {
        let mut bytes = Vec::new();
        let limited = &mut self.reader.by_ref().take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut bytes);
        read.map_err(|error| CliError::Config(format!("cannot read {}: {error}", self.name)))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if bytes.len() as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
            return Err(self.wrong_line("is too long for an id"));
        }
        let text = String::from_utf8(bytes).map_err(|_| self.wrong_line("is not UTF-8"))?;
        // Editors of some systems begin a file with a byte order mark.
        Ok(Some(text.strip_prefix('\u{feff}').filter(|_| self.line == 1).unwrap_or(&text).to_owned()))
    }

    fn wrong_line(&self, why: &str) -> CliError {
        CliError::Config(format!(
            "{}:{}: the line {why}; fix: write one id on each line, and run the command again; pages before it are queued",
            self.name, self.line
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &[u8]) -> PatientList {
        let reader = Box::new(BufReader::new(io::Cursor::new(text.to_vec())));
        PatientList { reader, name: "ids.txt".to_owned(), line: 0, met: HashSet::new() }
    }

    fn ids(page: &[Listed]) -> Vec<(u64, &str)> {
        page.iter().map(|one| (one.line, one.patient_id.as_str())).collect()
    }

    #[test]
    fn each_id_is_read_once_with_its_line() {
        let mut list = list("\u{feff}P-1\r\n\n  P-2 \nP-1\nP-3\nP-4".as_bytes());
        assert_eq!(ids(&list.page(2).unwrap()), [(1, "P-1"), (3, "P-2")]);
        assert_eq!(ids(&list.page(2).unwrap()), [(5, "P-3"), (6, "P-4")]);
        assert!(list.page(2).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_no_id_is_named_and_not_shown() {
        let long = format!("P-1\n{}\n", "Kim".repeat(400));
        let mut too_long = list(long.as_bytes());
        let error = too_long.page(10).unwrap_err().to_string();
        assert!(error.starts_with("ids.txt:2: the line is too long for an id"), "{error}");
        assert!(!error.contains("Kim"), "{error}");
        let error = list(b"P-1\nP-2\n\xff\n").page(10).unwrap_err().to_string();
        assert!(error.starts_with("ids.txt:3: the line is not UTF-8"), "{error}");
        let longest = format!("{}\n", "x".repeat(1_023));
        assert_eq!(list(longest.as_bytes()).page(10).unwrap().len(), 1);
        let named = |patient_id: &str| Listed { line: 1, patient_id: patient_id.to_owned() }.shown();
        assert_eq!(named("P-9"), "`P-9`");
        assert!(!named("Kim, Minjun;1951-12-31").contains("Kim"));
    }
}
