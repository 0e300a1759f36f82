//! Problems of a file: collecting and displaying them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::words::one_line;

/// The maximum length of a field's path, in characters.
const FIELD_CHARS_MAX: usize = 400;
/// The maximum length of a message, in characters.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// A problem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// Counted from 1; `None` when it concerns the file as a whole.
    pub line: Option<usize>,
    /// The field's path, for example `patients[2].birth_date`; empty when it concerns no field.
    pub field: String,
    /// A lower-case fragment that follows the field. Never repeats a value.
    pub message: String,
}

impl FileProblem {
    /// Cuts field and message to one line of limited length each: they may contain keys that others wrote.
    fn new(line: Option<usize>, field: &str, message: &str) -> Self {
        Self { line, field: one_line(field, FIELD_CHARS_MAX), message: one_line(message, MESSAGE_CHARS_MAX) }
    }
}

/// All problems of one file, by line. Displays as one line per problem, `PATH:LINE: FIELD: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblems {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// Never empty.
    pub problems: Vec<FileProblem>,
}

impl FileProblems {
    /// A problem of the file as a whole.
    #[must_use]
    pub fn single(path: &Path, message: &str) -> Self {
        let problem = FileProblem::new(None, "", message);
        Self { path: path.to_owned(), problems: vec![problem] }
    }
}

impl fmt::Display for FileProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{}", self.path.display())?;
            if let Some(line) = problem.line {
                write!(formatter, ":{line}")?;
            }
            if !problem.field.is_empty() {
                write!(formatter, ": {}", problem.field)?;
            }
            write!(formatter, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for FileProblems {}

/// The maximum number of problems that are kept per file.
const PROBLEMS_MAX: usize = 1_000;

/// Collects problems while a file is read.
pub struct Findings {
    path: PathBuf,
    gathered: RefCell<Gathered>,
}

#[derive(Default)]
struct Gathered {
    problems: Vec<FileProblem>,
    /// The number of further problems that are not kept.
    more: usize,
    lines_of_syntax_errors: BTreeSet<usize>,
}

impl Gathered {
    fn keep(&mut self, problem: FileProblem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }
}

impl Findings {
    /// An empty list for this file.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), gathered: RefCell::default() }
    }

    /// Reports a problem of a field. On a line with a syntax error it is ignored, since the value there is a guess.
    pub fn note(&self, line: usize, field: impl Into<String>, message: impl Into<String>) {
        let mut gathered = self.gathered.borrow_mut();
        if !gathered.lines_of_syntax_errors.contains(&line) {
            let (field, message): (String, String) = (field.into(), message.into());
            gathered.keep(FileProblem::new(Some(line), &field, &message));
        }
    }

    /// Reports a problem of the file as a whole.
    pub fn note_file(&self, message: impl Into<String>) {
        let message: String = message.into();
        let problem = FileProblem::new(None, "", &message);
        self.gathered.borrow_mut().keep(problem);
    }

    pub(super) fn note_syntax(&self, line: usize, field: &str, message: &str) {
        let mut gathered = self.gathered.borrow_mut();
        if gathered.lines_of_syntax_errors.insert(line) {
            gathered.keep(FileProblem::new(Some(line), field, message));
        }
    }

    /// Whether no more problems are kept.
    pub(super) fn is_full(&self) -> bool {
        self.gathered.borrow().problems.len() >= PROBLEMS_MAX
    }

    pub(super) fn has_syntax_error_within(&self, lines: std::ops::RangeInclusive<usize>) -> bool {
        self.gathered.borrow().lines_of_syntax_errors.range(lines).next().is_some()
    }

    pub(super) fn has_syntax_error_on(&self, line: usize) -> bool {
        self.gathered.borrow().lines_of_syntax_errors.contains(&line)
    }

    /// Whether there is a syntax error. A missing key may then only be unread.
    #[must_use]
    pub fn has_syntax_errors(&self) -> bool {
        !self.gathered.borrow().lines_of_syntax_errors.is_empty()
    }

    /// Returns the value if there is no problem.
    ///
    /// # Errors
    /// All problems, by line.
    pub fn into_result<T>(self, value: T) -> Result<T, FileProblems> {
        let Gathered { mut problems, more, .. } = self.gathered.into_inner();
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by_key(|problem| problem.line);
        if more > 0 {
            problems.push(FileProblem::new(None, "", &format!("and {more} more problems")));
        }
        Err(FileProblems { path: self.path, problems })
    }
}
