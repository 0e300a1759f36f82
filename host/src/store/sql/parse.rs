//! Finds the parameters in a statement's text: `:name`, `:name...`, `(:rows, ...)...` and `[[ ... ]]`.
//!
//! It must never look into quotes. Read next: `render.rs`.

use super::parameter::Kind;

#[derive(Debug)]
pub(super) enum Piece {
    Sql(String),
    Parameter(usize),
    /// One placeholder for each element of a list.
    List(usize),
    /// Once for each row of the parameter in it.
    Repeated(Vec<Piece>),
    /// Left out unless every parameter in it is given.
    Optional(Vec<Piece>),
}

/// Visits every piece, also those inside of others.
pub(super) fn walk(pieces: &[Piece], visit: &mut impl FnMut(&Piece)) {
    for piece in pieces {
        visit(piece);
        if let Piece::Repeated(inner) | Piece::Optional(inner) = piece {
            walk(inner, visit);
        }
    }
}

/// Finds the parameters in a statement's text.
pub(super) struct Parser<'a> {
    pub(super) parameters: &'a [(&'static str, Kind)],
}

impl Parser<'_> {
    pub(super) fn pieces(&self, text: &str) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        let mut sql = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['\'', ':', '(', '[']) {
            sql.push_str(&rest[..at]);
            rest = &rest[at..];
            let (piece, taken) = self.piece(rest)?;
            if let Some(piece) = piece {
                pieces.extend([Piece::Sql(std::mem::take(&mut sql)), piece]);
            } else {
                sql.push_str(&rest[..taken]);
            }
            rest = &rest[taken..];
        }
        sql.push_str(rest);
        pieces.push(Piece::Sql(sql));
        Ok(pieces)
    }

    /// The piece at the start of the text, if it is not plain SQL, and its length.
    fn piece(&self, text: &str) -> Result<(Option<Piece>, usize), String> {
        if let Some(inner) = text.strip_prefix('\'') {
            let end = inner.find('\'').ok_or("a quote is not closed")?;
            return Ok((None, end + 2));
        }
        if let Some(inner) = text.strip_prefix("[[") {
            let end = inner.find("]]").ok_or("[[ is not closed")?;
            return Ok((Some(Piece::Optional(self.pieces(&inner[..end])?)), end + 4));
        }
        if text.starts_with('(') {
            let end = closing(text).ok_or("a parenthesis is not closed")?;
            // The caller parses the inside itself, unless the group is repeated.
            if !text[end..].starts_with(")...") {
                return Ok((None, 1));
            }
            let mut group = self.pieces(&text[1..end])?;
            group.insert(0, Piece::Sql("(".to_owned()));
            group.push(Piece::Sql(")".to_owned()));
            return Ok((Some(Piece::Repeated(group)), end + 4));
        }
        let Some(name) = text.strip_prefix(':').map(word).filter(|name| !name.is_empty()) else { return Ok((None, 1)) };
        let index = self.parameters.iter().position(|(known, _)| *known == name);
        let index = index.ok_or_else(|| format!("there is no parameter `{name}`"))?;
        let is_list = text[1 + name.len()..].starts_with("...");
        match (self.parameters[index].1, is_list) {
            (Kind::Ids | Kind::Texts, true) => Ok((Some(Piece::List(index)), name.len() + 4)),
            (Kind::Texts, false) => Err(format!("the parameter `{name}` is a list: `:{name}...`")),
            (_, true) => Err(format!("the parameter `{name}` is no list")),
            (_, false) => Ok((Some(Piece::Parameter(index)), name.len() + 1)),
        }
    }
}

/// The position of the parenthesis that closes the first one of the text.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut is_quoted) = (0_usize, false);
    text.char_indices().find_map(|(at, character)| {
        match character {
            '\'' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// The letters, digits and underscores that the text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}
