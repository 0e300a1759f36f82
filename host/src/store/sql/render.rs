//! One statement as a database gets it: its text for each shape, and values in the order of that text.
//!
//! A call costs one lookup of its text and one list of values. A text must never depend on a value, only on the number
//! of values and on which are given.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::parameter::{Kind, Parameter};
use super::parse::{Parser, Piece, walk};
use super::{Bound, Declared};
use crate::database::{Dialect, Value};
use crate::domain::ids::ChangeId;

/// The parameter that every statement has: the time by a test's clock.
const NOW: (&str, Kind) = ("now", Kind::Integer);

/// What a text depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// One bit for each absent parameter.
    absent: u32,
    /// Elements of the list, or rows.
    size: usize,
}

/// A statement whose parameters are known.
#[derive(Debug)]
pub(in crate::store) struct Rendered {
    dialect: Dialect,
    parameters: Vec<(&'static str, Kind)>,
    pieces: Vec<Piece>,
    /// How often it has each parameter.
    uses: Vec<usize>,
    /// The parameters whose absence changes the text.
    optional: u32,
    is_sized: bool,
    /// The text with everything given, when it has no list.
    plain: Option<Arc<str>>,
    others: RwLock<BTreeMap<Shape, Arc<str>>>,
}

impl Rendered {
    pub(super) fn new(dialect: Dialect, declared: &Declared, text: &str) -> Result<Self, String> {
        let failed = |error: String| format!("`{}`: {error}", declared.name);
        let parameters: Vec<_> = declared.parameters.iter().copied().chain([NOW]).collect();
        let pieces = Parser { parameters: &parameters }.pieces(text).map_err(failed)?;
        let mut uses = vec![0; parameters.len()];
        walk(&pieces, &mut |piece| {
            if let Piece::Parameter(index) | Piece::List(index) = piece {
                uses[*index] += 1;
            }
        });
        if let Some(((name, _), _)) = declared.parameters.iter().zip(&uses).find(|(_, uses)| **uses == 0) {
            return Err(failed(format!("the parameter `{name}` is not used")));
        }
        let present = uses.iter().enumerate().map(|(index, uses)| u32::from(*uses > 0) << index).sum::<u32>();
        let optional = optional(dialect, &pieces, &parameters).map_err(failed)? & present;
        let is_sized = is_sized(&pieces).map_err(failed)?;
        let (plain, others) = (None, RwLock::default());
        let mut rendered = Self { dialect, parameters, pieces, uses, optional, is_sized, plain, others };
        if !is_sized {
            rendered.plain = Some(rendered.write(Shape::default()));
        }
        Ok(rendered)
    }

    /// The text and the values for these parameters, which are in the order of their declaration.
    pub(in crate::store) fn bind(&self, parameters: &mut [Parameter<'_>]) -> Bound {
        let mut shape = Shape::default();
        for (index, parameter) in parameters.iter().enumerate() {
            shape.absent |= u32::from(parameter.is_absent()) << index;
            if self.is_sized {
                shape.size = shape.size.max(parameter.size());
            }
        }
        shape.absent &= self.optional;
        let mut values = Vec::with_capacity(self.parameters.len());
        self.values(&self.pieces, shape, parameters, &mut values);
        Bound { sql: self.text(shape), values }
    }

    /// As [`Self::bind`], with empty values.
    pub(super) fn bind_empty(&self) -> Bound {
        let (texts, ids) = ([String::new()], [ChangeId::new(0)]);
        let empty = |(_, kind): &(&str, Kind)| match *kind {
            Kind::Text => Parameter::One("".into()),
            Kind::Integer => Parameter::One(Value::I64(0)),
            Kind::Bytes => Parameter::One(Value::Bytes(Vec::new())),
            Kind::Json => Parameter::One(Value::Json("[]".to_owned())),
            Kind::Ids => Parameter::Ids(&ids),
            Kind::Texts => Parameter::Texts(&texts),
            Kind::Rows(columns) => Parameter::Rows(vec![vec![None; columns]]),
        };
        self.bind(&mut self.parameters.iter().map(empty).collect::<Vec<_>>())
    }

    /// Example texts for reviewers. Lists have two elements. The first text has every optional part, the second none.
    #[cfg(test)]
    pub(super) fn examples(&self) -> Vec<(String, Arc<str>)> {
        let full = Shape { size: if self.is_sized { 2 } else { 0 }, ..Shape::default() };
        let mut absent = 0;
        walk(&self.pieces, &mut |piece| {
            if let Piece::Optional(inner) = piece {
                walk(inner, &mut |piece| {
                    if let Piece::Parameter(index) | Piece::List(index) = piece {
                        absent |= 1 << index;
                    }
                });
            }
        });
        let mut texts = vec![(String::new(), self.write(full))];
        if absent != 0 {
            let names = self.parameters.iter().enumerate().filter(|(index, _)| absent >> index & 1 == 1);
            let names: Vec<_> = names.map(|(_, (name, _))| *name).collect();
            texts.push((format!(", without {}", names.join(", ")), self.write(Shape { absent, ..full })));
        }
        texts
    }

    fn text(&self, shape: Shape) -> Arc<str> {
        if let Some(plain) = self.plain.as_ref().filter(|_| shape == Shape::default()) {
            return Arc::clone(plain);
        }
        if let Some(text) = self.others.read().unwrap_or_else(PoisonError::into_inner).get(&shape) {
            return Arc::clone(text);
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(others.entry(shape).or_insert_with(|| self.write(shape)))
    }

    /// The text in the driver's form, without empty lines.
    fn write(&self, shape: Shape) -> Arc<str> {
        let (mut sql, mut samples) = (String::new(), Vec::new());
        self.write_pieces(&self.pieces, shape, &mut sql, &mut samples);
        let lines: Vec<_> = sql.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        self.dialect.placeholders(&lines.join("\n"), &samples).into()
    }

    fn write_pieces(&self, pieces: &[Piece], shape: Shape, sql: &mut String, samples: &mut Vec<Value>) {
        for piece in pieces {
            match piece {
                Piece::Sql(text) => sql.push_str(text),
                Piece::Parameter(index) => {
                    let kind = self.parameters[*index].1;
                    let marks = if let Kind::Rows(columns) = kind { columns } else { 1 };
                    let sample = if shape.lacks(*index) { Value::Null } else { kind.sample() };
                    write_marks(marks, &sample, sql, samples);
                }
                Piece::List(index) => write_marks(shape.size, &self.parameters[*index].1.element(), sql, samples),
                Piece::Repeated(inner) => {
                    for row in 0..shape.size {
                        sql.push_str(if row > 0 { ", " } else { "" });
                        self.write_pieces(inner, shape, sql, samples);
                    }
                }
                Piece::Optional(inner) if shape.gives(inner) => self.write_pieces(inner, shape, sql, samples),
                Piece::Optional(_) => {}
            }
        }
    }

    /// The values in the order of the text that [`Self::write`] makes for the same shape.
    fn values(&self, pieces: &[Piece], shape: Shape, parameters: &mut [Parameter<'_>], values: &mut Vec<Value>) {
        for piece in pieces {
            match piece {
                Piece::Parameter(index) => match &mut parameters[*index] {
                    Parameter::One(value) if self.uses[*index] == 1 => {
                        values.push(std::mem::replace(value, Value::Null));
                    }
                    Parameter::One(value) => values.push(value.clone()),
                    Parameter::Ids(ids) => values.push(json_list(ids)),
                    Parameter::Texts(texts) => values.extend(texts.iter().map(|text| Value::from(text.as_str()))),
                    Parameter::Rows(rows) => values.extend(by_column(std::mem::take(rows))),
                },
                Piece::List(index) => match &parameters[*index] {
                    Parameter::Ids([]) => values.push(Value::I64(-1)),
                    Parameter::Ids(ids) => values.extend(padded(ids, shape.size).map(|id| Value::I64(id.get()))),
                    Parameter::Texts(texts) => {
                        values.extend(padded(texts, shape.size).map(|text| text.as_str().into()));
                    }
                    Parameter::One(_) | Parameter::Rows(_) => {}
                },
                Piece::Repeated(inner) => row_values(inner, parameters, values),
                Piece::Optional(inner) if shape.gives(inner) => self.values(inner, shape, parameters, values),
                Piece::Sql(_) | Piece::Optional(_) => {}
            }
        }
    }
}

impl Shape {
    fn lacks(self, index: usize) -> bool {
        self.absent >> index & 1 == 1
    }

    /// Whether every parameter in these pieces is given.
    fn gives(self, pieces: &[Piece]) -> bool {
        let mut all = true;
        walk(pieces, &mut |piece| {
            if let Piece::Parameter(index) | Piece::List(index) = piece {
                all &= !self.lacks(*index);
            }
        });
        all
    }
}

fn write_marks(count: usize, sample: &Value, sql: &mut String, samples: &mut Vec<Value>) {
    for index in 0..count {
        sql.push_str(if index > 0 { ", ?" } else { "?" });
        samples.push(sample.clone());
    }
}

fn json_list(ids: &[ChangeId]) -> Value {
    let ids: Vec<_> = ids.iter().map(ChangeId::to_string).collect();
    Value::Json(format!("[{}]", ids.join(",")))
}

/// Repeats the last element until there are `size` elements.
fn padded<T>(list: &[T], size: usize) -> impl Iterator<Item = &T> {
    list.iter().chain(std::iter::repeat_with(|| list.last()).flatten()).take(size)
}

fn row_values(group: &[Piece], parameters: &mut [Parameter<'_>], values: &mut Vec<Value>) {
    let rows = parameters.iter_mut().find_map(|parameter| match parameter {
        Parameter::Rows(rows) => Some(std::mem::take(rows)),
        _ => None,
    });
    for row in rows.unwrap_or_default() {
        let mut row = Some(row);
        for piece in group {
            let Piece::Parameter(index) = piece else { continue };
            match &parameters[*index] {
                Parameter::One(value) => values.push(value.clone()),
                _ => values.extend(row.take().into_iter().flatten().map(Value::from)),
            }
        }
    }
}

/// Transposes rows: one array for each column.
fn by_column(rows: Vec<Vec<Option<String>>>) -> Vec<Value> {
    let count = rows.first().map_or(0, Vec::len);
    let mut columns: Vec<Vec<Option<String>>> = (0..count).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns.into_iter().map(Value::Texts).collect()
}

/// The parameters whose absence changes the text: those in `[[ ... ]]`; on PostgreSQL all, because NULL is written into
/// the text there.
fn optional(dialect: Dialect, pieces: &[Piece], parameters: &[(&'static str, Kind)]) -> Result<u32, String> {
    if parameters.len() > 32 {
        return Err("more than 31 parameters".to_owned());
    }
    if dialect == Dialect::Postgres {
        return Ok(u32::MAX);
    }
    let mut bits = 0_u32;
    let mut is_empty = false;
    walk(pieces, &mut |piece| {
        let Piece::Optional(inner) = piece else { return };
        let before = bits;
        walk(inner, &mut |piece| {
            if let Piece::Parameter(index) | Piece::List(index) = piece {
                bits |= 1 << index;
            }
        });
        is_empty |= bits == before;
    });
    if is_empty { Err("[[ ... ]] without a parameter of its own".to_owned()) } else { Ok(bits) }
}

/// Whether the text depends on how many elements or rows there are.
fn is_sized(pieces: &[Piece]) -> Result<bool, String> {
    let mut count = 0;
    walk(pieces, &mut |piece| count += usize::from(matches!(piece, Piece::List(_) | Piece::Repeated(_))));
    if count > 1 { Err("more than one list".to_owned()) } else { Ok(count == 1) }
}
