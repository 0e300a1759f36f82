//! Enums for closed sets of words, with one spelling everywhere (files, SQL, JSON, messages).

/// Declares such an enum, with `ALL`, `WORDS`, `as_str`, `from_word`, `Display` and serde in the same spelling.
///
/// ```
/// patient_payload::vocabulary! {
///     /// Where a door stands.
///     pub enum Door {
///         /// One may pass.
///         Open = "open",
///         /// One may not.
///         Shut = "shut",
///     }
/// }
/// assert_eq!(Door::from_word("shut"), Some(Door::Shut));
/// assert_eq!(Door::from_word("Shut"), None);
/// assert_eq!(Door::WORDS, ["open", "shut"]);
/// ```
#[macro_export]
macro_rules! vocabulary {
    (
        $(#[$outer:meta])*
        pub enum $name:ident {
            $( $(#[$inner:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $( $(#[$inner])* #[serde(rename = $word)] $variant, )+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];
            /// The word of every variant, in the same order.
            pub const WORDS: &'static [&'static str] = &[$( $word, )+];

            /// The variant's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }

            /// The variant of this word; case matters.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.as_str() == word)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }
    };
}

/// "a, b or c", for messages that list the accepted words.
#[must_use]
pub fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::one_of;

    #[test]
    fn words_are_listed_with_commas_and_or() {
        assert_eq!(one_of(&["a"]), "a");
        assert_eq!(one_of(&["a", "b"]), "a or b");
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }
}
