//! Responses of `observe`.

use adapter_sdk::{Current, Failure, Observation};

use super::{Question, honest};

fn present(fingerprint: &str) -> Observation {
    Observation::Present(Current { fingerprint: fingerprint.to_owned(), remote_version: None })
}

/// Reports every record as present and unedited.
pub(super) fn honest(question: &Question<'_>) -> Result<Vec<Observation>, Failure> {
    let of = |fingerprint: &Option<String>| present(fingerprint.as_deref().unwrap_or("none"));
    Ok(question.subjects.iter().map(|subject| of(&subject.link.fingerprint)).collect())
}

pub(super) fn too_few(question: &Question<'_>) -> Result<Vec<Observation>, Failure> {
    let mut observations = honest(question)?;
    observations.pop();
    Ok(observations)
}

pub(super) fn million(_: &Question<'_>) -> Result<Vec<Observation>, Failure> {
    Ok(vec![Observation::Gone; 1_000_000])
}

/// Returns invalid observations: an empty fingerprint, or too many ids. The argument selects it: `empty`, `many`.
pub(super) fn odd(question: &Question<'_>) -> Result<Vec<Observation>, Failure> {
    let odd = || match question.argument {
        "many" => Observation::Several(vec!["7".to_owned(); 17]),
        _ => present(""),
    };
    Ok(question.subjects.iter().map(|_| odd()).collect())
}

/// Runs the argument as a statement.
pub(super) fn statement(question: &Question<'_>) -> Result<Vec<Observation>, Failure> {
    question.db.execute(question.argument, &[]).map_err(|error| honest::told(&error))?;
    honest(question)
}

pub(super) fn panic(_: &Question<'_>) -> Result<Vec<Observation>, Failure> {
    panic!("observing");
}
