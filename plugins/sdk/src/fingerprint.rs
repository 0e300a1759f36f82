//! A fingerprint of what an adapter wrote, by which it notices an edit of others.

use sha2::{Digest as _, Sha256};

/// The digest of these values in their order, 32 hexadecimal digits; `None` stands for an absent value. Compute it of
/// what was written and of what the target holds, from the same columns.
#[must_use]
pub fn of<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut digest = Sha256::new();
    for value in values {
        match value {
            // With its length, so that no two lists of values have the same bytes.
            Some(text) => {
                digest.update([1]);
                digest.update((text.len() as u64).to_be_bytes());
                digest.update(text.as_bytes());
            }
            None => digest.update([0]),
        }
    }
    let halves = digest.finalize()[..16].iter().flat_map(|byte| [byte >> 4, byte & 15]).collect::<Vec<_>>();
    halves.into_iter().map(|half| char::from(b"0123456789abcdef"[usize::from(half)])).collect()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn different_values_have_different_fingerprints() {
        let all = [
            of([]),
            of([None]),
            of([Some("")]),
            of([Some("ab")]),
            of([Some("a"), Some("b")]),
            of([Some("b"), Some("a")]),
            of([Some("a"), None, Some("b")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(one.len() == 32 && !all[at + 1..].contains(one), "{all:?}");
        }
        assert_eq!(of([Some("ab")]), all[3]);
    }
}
