//! Texts with placeholders that a request fills: `${1}`, `${query/NAME}`, `${body/POINTER}`, `${number}`, `${kept}`.

use serde_json::Value;

/// A text in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Template(Vec<Piece>);

/// One piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// The segment that a `*` of the path matched, from 0.
    Star(usize),
    Query(String),
    /// A JSON pointer into the request's body.
    Body(String),
    /// The record's number.
    Number,
    /// The body that the record was kept with.
    Kept,
}

/// What fills the databases.
pub(super) struct Filling<'a> {
    pub(super) stars: &'a [&'a str],
    pub(super) query: &'a str,
    pub(super) body: &'a Value,
    pub(super) number: u64,
    pub(super) kept: &'a str,
}

impl Piece {
    /// Whether it is about a record.
    pub(super) fn needs_record(&self) -> bool {
        matches!(self, Self::Number | Self::Kept)
    }
}

impl Template {
    /// Reads a text; `stars` is the number of `*` in the path. The error names the unknown placeholder.
    pub(super) fn parse(text: &str, stars: usize) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').ok_or("`${` has no `}`")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(place(name, stars)?);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.0.iter()
    }

    /// Whether the text before the first placeholder begins like this.
    pub(super) fn starts_with_text(&self, is_so: impl Fn(&str) -> bool) -> bool {
        matches!(self.0.first(), Some(Piece::Text(text)) if is_so(text))
    }

    /// The text for a request. What the request does not have is left empty. With `in_json` a text out of it is written
    /// as it is between the quotes of a JSON string.
    pub(super) fn fill(&self, filling: &Filling<'_>, in_json: bool) -> String {
        let text = |text: String| if in_json { escaped(&text) } else { text };
        let filled = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Star(index) => text(filling.stars.get(*index).copied().unwrap_or_default().to_owned()),
            Piece::Query(name) => text(query_value(filling.query, name)),
            Piece::Body(pointer) => match filling.body.pointer(pointer) {
                Some(Value::String(value)) => text(value.clone()),
                Some(value) => value.to_string(),
                None => String::new(),
            },
            Piece::Number => filling.number.to_string(),
            Piece::Kept => filling.kept.to_owned(),
        });
        filled.collect()
    }
}

fn place(name: &str, stars: usize) -> Result<Piece, String> {
    if let Ok(number) = name.parse::<usize>() {
        let there = number.checked_sub(1).filter(|index| *index < stars);
        return there.map(Piece::Star).ok_or_else(|| format!("${{{number}}} is not there: `path` has {stars} *"));
    }
    match name.split_once('/') {
        Some(("query", name)) => Ok(Piece::Query(name.to_owned())),
        Some(("body", pointer)) => Ok(Piece::Body(format!("/{pointer}"))),
        None if name == "number" => Ok(Piece::Number),
        None if name == "kept" => Ok(Piece::Kept),
        _ => Err(format!(
            "${{{name}}} is not known: write ${{1}}, ${{query/NAME}}, ${{body/POINTER}}, ${{number}} or ${{kept}}"
        )),
    }
}

fn query_value(query: &str, name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_texts_stay_inside_their_quotes() {
        let body = serde_json::json!({"id": "a\"b", "n": 7});
        let filling = Filling { stars: &["x\"y"], query: "q=1%2F2", body: &body, number: 3, kept: "{}" };
        let template =
            Template::parse("${1} ${query/q} ${body/id} ${body/n} ${body/none} ${number} ${kept}", 1).unwrap();
        assert_eq!(template.fill(&filling, true), r#"x\"y 1/2 a\"b 7  3 {}"#);
        assert_eq!(template.fill(&filling, false), r#"x"y 1/2 a"b 7  3 {}"#);
    }
}
