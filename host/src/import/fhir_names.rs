//! Chooses which of a Patient's names is the romanised one, and which is in the patient's native script.
//!
//! The ISO 21090 representation decides if present, otherwise the letters. The FHIR adapter writes the native name
//! first, so the first of two alphabetic names is native if both have a representation.

use super::draft::{Problem, present, problem};
use super::fhir_types::{HumanName, why_not_current};
use crate::domain::patient::{Day, PatientDraft};

const REPRESENTATION: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation";

impl HumanName {
    /// The rank of a name; the smallest is preferred.
    ///
    /// # Errors
    /// Why it is not a current name of the patient.
    fn rank(&self, today: Day) -> Result<u8, &'static str> {
        if let Some(reason) = why_not_current(self.r#use.as_deref(), self.period.as_ref(), today) {
            return Err(reason);
        }
        match self.r#use.as_deref() {
            Some("official") => Ok(0),
            Some("usual") => Ok(1),
            None => Ok(2),
            Some("temp") => Ok(3),
            Some(_) => Err("its use is not that of a current full name"),
        }
    }

    fn is_empty(&self) -> bool {
        self.family.is_none() && self.given.iter().flatten().flatten().next().is_none()
    }

    fn representation(&self) -> Option<&str> {
        let extensions = self.extension.iter().flatten();
        extensions
            .filter(|extension| extension.url.as_deref() == Some(REPRESENTATION))
            .find_map(|extension| extension.value_code.as_deref())
    }

    /// Whether the name is in a script other than Latin.
    fn is_native(&self) -> bool {
        let parts = self.family.iter().chain(self.given.iter().flatten().flatten());
        let mut letters = parts.flat_map(|part| part.chars()).filter(|letter| letter.is_alphabetic()).peekable();
        matches!(self.representation(), Some("SYL" | "IDE")) || (letters.peek().is_some() && !letters.any(is_latin))
    }
}

/// ASCII, Latin-1, Latin Extended A and B, and Latin Extended Additional (Vietnamese).
fn is_latin(letter: char) -> bool {
    matches!(letter, 'A'..='Z' | 'a'..='z' | '\u{AA}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}')
}

/// Fills the fields of the name. A single name is used as the romanised one in any script, because those fields are
/// required.
///
/// # Errors
/// When there are names, and none of them is a current name of the patient.
pub(super) fn fill(draft: &mut PatientDraft, names: Vec<HumanName>, today: Day) -> Result<(), Problem> {
    let (mut current, mut reasons) = (Vec::new(), Vec::new());
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        match name.rank(today) {
            Ok(rank) => current.push((rank, name)),
            Err(reason) if reasons.contains(&reason) => {}
            Err(reason) => reasons.push(reason),
        }
    }
    if current.is_empty() && !reasons.is_empty() {
        return Err(problem("name", format!("has none that is current: {}", reasons.join(", or "))));
    }
    let mut names = current;
    names.sort_by_key(|(rank, _)| *rank);
    let mut names: Vec<_> = names.into_iter().map(|(_, name)| Some(name)).collect();
    let (romanised, native) = choose(&names);
    let mut take = |index: Option<usize>| names.get_mut(index?)?.take();
    if let Some(name) = take(romanised) {
        let given = parts(name.given);
        draft.family_name = present(name.family);
        draft.given_name = given.first().cloned();
        draft.middle_name = joined(given.get(1..).unwrap_or_default());
        draft.title = joined(&parts(name.prefix));
        draft.suffix = joined(&parts(name.suffix));
    }
    if let Some(name) = take(native) {
        draft.native_family_name = present(name.family);
        draft.native_given_name = joined(&parts(name.given));
    }
    Ok(())
}

/// The indices of the romanised and the native name. `names` is sorted, the best first.
fn choose(names: &[Option<HumanName>]) -> (Option<usize>, Option<usize>) {
    let position = |is_native: bool| names.iter().flatten().position(|name| name.is_native() == is_native);
    match (position(false), position(true)) {
        (Some(romanised), Some(native)) => (Some(romanised), Some(native)),
        (None, _) => (Some(0), None),
        (Some(_), None) => {
            let is_alphabetic = |name: Option<&Option<HumanName>>| {
                name.and_then(Option::as_ref).is_some_and(|name| name.representation() == Some("ABC"))
            };
            if is_alphabetic(names.first()) && is_alphabetic(names.get(1)) {
                (Some(1), Some(0))
            } else {
                (Some(0), None)
            }
        }
    }
}

fn parts(parts: Option<Vec<Option<String>>>) -> Vec<String> {
    parts.into_iter().flatten().filter_map(present).collect()
}

fn joined(parts: &[String]) -> Option<String> {
    Some(parts.join(" ")).filter(|text| !text.is_empty())
}
