//! Writes expressions.

use super::render::Writer;
use super::tree::{Arguments, Call, Case, Expression, Piece, Window};
use super::words;
use crate::database::Dialect;

impl Writer {
    pub(super) fn expression(&mut self, expression: &Expression) {
        expression.0.iter().for_each(|piece| self.piece(piece));
    }

    pub(super) fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Column(name) => {
                self.note(|notes| notes.named(&name.0));
                self.name(name);
            }
            Piece::Qualified(alias, name) => {
                self.name(alias);
                self.out.push('.');
                self.note(|notes| notes.named(&name.0));
                self.name(name);
            }
            Piece::Parameter => {
                self.parameters += 1;
                self.note(|notes| notes.value(None));
                self.word("?");
            }
            Piece::Text(text) => self.text(text),
            Piece::Number(digits) => self.number(digits),
            Piece::Hex(digits) => self.hex(digits),
            Piece::Word(word) => self.word(word),
            Piece::Typed(kind, text) => {
                self.word(kind);
                self.text(text);
            }
            Piece::Interval(value, unit) => {
                self.word("INTERVAL");
                self.expression(value);
                self.words(unit);
            }
            Piece::Cast(value, kind) => {
                self.word("CAST(");
                self.expression(value);
                self.word("AS");
                self.kind(kind);
                self.out.push(')');
            }
            Piece::CastTo(kind) => {
                self.word("::");
                self.kind(kind);
            }
            Piece::Collate(name) => {
                self.word("COLLATE");
                self.name(name);
            }
            Piece::Case(case) => self.case(case),
            Piece::Call(call) => self.call(call),
            Piece::Nested(list) => self.parenthesised(list, Self::expression),
            Piece::Subquery(query) => self.within(query),
        }
    }

    pub(super) fn case(&mut self, case: &Case) {
        let Case { of, when, otherwise } = case;
        self.word("CASE");
        if let Some(of) = of {
            self.expression(of);
        }
        for (condition, value) in when {
            self.word("WHEN");
            self.expression(condition);
            self.word("THEN");
            self.expression(value);
        }
        if let Some(otherwise) = otherwise {
            self.word("ELSE");
            self.expression(otherwise);
        }
        self.word("END");
    }

    /// A function's name and the parenthesis after it, without a blank: MySQL would take another function otherwise. On
    /// PostgreSQL with the schema of its own functions, unless it is a form of the grammar.
    pub(super) fn function(&mut self, name: &str, is_plain: bool) {
        self.word("");
        if self.dialect == Dialect::Postgres && is_plain && !words::is_form(name) {
            self.out.push_str("pg_catalog.");
        }
        self.out.push_str(name);
        self.out.push('(');
    }

    pub(super) fn call(&mut self, call: &Call) {
        let Call { name, arguments, filter, over } = call;
        match arguments {
            Arguments::Everything => {
                self.function(name, true);
                self.out.push('*');
            }
            Arguments::List { distinct, side, list, order, separator } => {
                self.function(name, list.iter().all(|(between, _)| matches!(*between, "" | ",")));
                if *distinct {
                    self.word("DISTINCT");
                }
                self.words(side);
                for (between, argument) in list {
                    match *between {
                        "" => {}
                        "," => self.out.push(','),
                        word => self.word(word),
                    }
                    self.expression(argument);
                }
                self.order(order);
                if let Some(separator) = separator {
                    self.word("SEPARATOR");
                    self.text(separator);
                }
            }
        }
        self.out.push(')');
        if let Some(filter) = filter {
            self.word("FILTER (WHERE");
            self.expression(filter);
            self.out.push(')');
        }
        if let Some(Window { partition, order, frame }) = over {
            self.word("OVER (");
            self.clause("PARTITION BY", partition, Self::expression);
            self.order(order);
            self.words(frame);
            self.out.push(')');
        }
    }
}
