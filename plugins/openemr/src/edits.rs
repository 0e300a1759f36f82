//! Whether others changed a chart since the last delivery, and what an operator decided about that.
//!
//! A receipt's fingerprint stands for what was written. A conflict's message carries another kind, ` [holds
//! kept:DECLINED:HELD]`, which the host writes into the link when an operator keeps what the chart holds: DECLINED
//! stands for the state that was not delivered, HELD for what the chart held instead. Pure, and never shows a value.

use adapter_sdk::{Failure, Link};

use crate::columns::{Fingerprints, Record};
use crate::failures::conflict;
use crate::mapping::Mapped;

const KEPT: &str = "kept:";

/// The origin of a chart's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What was delivered last, as far as is known.
    Ours,
    /// Changed by others.
    Edited,
    /// What an operator kept instead of this very state.
    Declined,
    /// What an operator kept instead of an earlier state.
    Kept,
}

/// Determines the origin of a linked chart's content.
pub(crate) fn standing(
    link: Option<&Link>,
    present: &Record,
    wanted: &Record,
    fingerprints: &Fingerprints,
) -> Standing {
    let Some(last) = link.and_then(|link| link.fingerprint.as_deref()) else { return Standing::Ours };
    if let Some((declined, held)) = last.strip_prefix(KEPT).and_then(|kept| kept.split_once(':')) {
        let is_held = fingerprints.stands_for(held, present) == Some(true);
        let is_declined = fingerprints.stands_for(declined, wanted) == Some(true);
        return match (is_held, is_declined) {
            (true, true) => Standing::Declined,
            (true, false) => Standing::Kept,
            (false, _) => Standing::Edited,
        };
    }
    match fingerprints.stands_for(last, present) {
        Some(false) => Standing::Edited,
        Some(true) | None => Standing::Ours,
    }
}

/// A conflict about a chart that is there: `--keep remote` keeps what it holds, `--keep local` writes to this chart and
/// no other.
pub(crate) fn conflict_over(message: &str, present: &Record, wanted: &Mapped, fingerprints: &Fingerprints) -> Failure {
    let (declined, held) = (fingerprints.of(&wanted.record), fingerprints.of(present));
    conflict(format!("{message} [holds {KEPT}{declined}:{held}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::OWN_COLUMNS;

    fn record(text: &str) -> Record {
        Record(vec![Some(text.to_owned())])
    }

    fn standing_of(fingerprint: Option<String>, present: &str, wanted: &str) -> Standing {
        let link = Link { remote_id: "1".into(), remote_version: None, fingerprint };
        standing(Some(&link), &record(present), &record(wanted), &fingerprints())
    }

    fn fingerprints() -> Fingerprints {
        Fingerprints::new(&[&OWN_COLUMNS[0]])
    }

    #[test]
    fn the_linked_fingerprint_decides_whether_a_chart_was_edited() {
        let wrote = |text: &str| Some(fingerprints().of(&record(text)));
        let mapped = |text: &str| Mapped { record: record(text), after_form: record(text), omissions: Vec::new() };
        let message = conflict_over("edited", &record("theirs"), &mapped("declined"), &fingerprints()).message;
        let kept = message.strip_prefix("edited [holds ").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned);
        assert!(kept.as_ref().is_some_and(|kept| kept.len() < 255), "it fits the column of a link");
        for (fingerprint, present, wanted, expected) in [
            (None, "a", "b", Standing::Ours),
            (Some(String::new()), "a", "b", Standing::Ours),
            (Some("1.otherone.abc".to_owned()), "a", "b", Standing::Ours),
            (wrote("a"), "a", "b", Standing::Ours),
            (wrote("a"), "c", "b", Standing::Edited),
            (kept.clone(), "theirs", "declined", Standing::Declined),
            (kept.clone(), "theirs", "newer", Standing::Kept),
            (kept.clone(), "theirs again", "declined", Standing::Edited),
            (kept, "theirs again", "newer", Standing::Edited),
        ] {
            assert_eq!(standing_of(fingerprint, present, wanted), expected, "{present} {wanted}");
        }
    }
}
