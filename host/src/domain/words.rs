//! Words in messages: lists of them, and what must not be shown of anybody's words.

pub use patient_payload::one_of;

/// Control characters, and those that reorder or hide what stands around them.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
