//! Words in messages: lists of them, and what must not be shown of foreign text.
//!
//! Every text that is not ours (an adapter's, a target's, a registry's, an id, a key that someone wrote) passes through
//! [`one_line`] before it is put into a message, and log and output let nothing through that [`is_unprintable`] names.

pub use patient_payload::one_of;

/// Characters of a foreign name or word within a sentence of ours.
pub const NAME_CHARS_MAX: usize = 100;

/// Control characters, and those that reorder or hide what is around them.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' // marks of direction
            | '\u{2028}' | '\u{2029}' // ends of lines and paragraphs
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' // embeddings, isolates, what is invisible
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Foreign text, fit to be shown: one line, nothing unprintable, at most so many characters and then `…`.
#[must_use]
pub fn one_line(text: &str, chars_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(chars_max.saturating_mul(4)));
    for (count, character) in
        text.trim_matches(|end: char| end.is_whitespace() || is_unprintable(end)).chars().enumerate()
    {
        if count == chars_max {
            clean.push('…');
            break;
        }
        clean.push(if is_unprintable(character) { ' ' } else { character });
    }
    clean
}

/// A foreign name within a sentence of ours, as `one_line` between backticks; in quotes, with escapes, where blanks or
/// what cannot be seen make it another name than it looks like.
#[must_use]
pub fn named(text: &str) -> String {
    let shown = one_line(text, NAME_CHARS_MAX);
    let is_unseen = |character: char| matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}');
    let is_odd = |character: char| character.is_whitespace() && character != ' ' || is_unseen(character);
    let is_cut = text.chars().nth(NAME_CHARS_MAX).is_some();
    if !text.is_empty() && !text.contains(is_odd) && (shown == text || is_cut && text.trim_start() == text) {
        return format!("`{shown}`");
    }
    let cut: String = text.chars().take(NAME_CHARS_MAX).collect();
    let escaped: String = cut
        .chars()
        .map(|character| match character {
            '"' | '\\' => character.escape_default().to_string(),
            _ if is_odd(character) || is_unprintable(character) => character.escape_unicode().to_string(),
            _ => character.to_string(),
        })
        .collect();
    format!("\"{escaped}\"{}", if is_cut { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_significant_blanks_shows_them() {
        for (name, shown) in [
            ("patient", "`patient`"),
            ("two words", "`two words`"),
            ("환자", "`환자`"),
            ("patient ", "\"patient \""),
            (" patient", "\" patient\""),
            ("", "\"\""),
            ("\tpatient", r#""\u{9}patient""#),
            ("pa\u{a0}tient", r#""pa\u{a0}tient""#),
            ("patient\u{200b}", r#""patient\u{200b}""#),
            ("a\"b ", r#""a\"b ""#),
            ("\u{1b}[2J", r#""\u{1b}[2J""#),
        ] {
            assert_eq!(named(name), shown);
        }
        assert_eq!(named(&"x".repeat(200)), format!("`{}…`", "x".repeat(100)));
    }

    #[test]
    fn foreign_text_becomes_one_bounded_line_without_control_characters() {
        assert_eq!(one_line(" a\r\nb\u{1b}[31m\u{7}\u{9b}2J\u{202e}c\u{2028}d\u{200f}e ", 100), "a  b [31m  2J c d e");
        assert_eq!(one_line(&"é".repeat(200), 100), format!("{}…", "é".repeat(100)));
        assert_eq!(
            one_line("김민준 👩\u{200d}⚕️ José", 100),
            "김민준 👩\u{200d}⚕️ José",
            "scripts that people write in"
        );
    }
}
