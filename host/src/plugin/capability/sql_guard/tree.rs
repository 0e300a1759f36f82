//! The syntax tree of allowed statements. SQL that these types cannot express cannot reach a database.
//!
//! An expression is a flat list of operands and operators in the order of the text: the database decides the
//! precedence, and no check depends on it.

/// A name as the database means it: PostgreSQL's unquoted ones are in lower case already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(pub(super) String);

/// A table, with the schema that was written before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: Option<Name>,
    pub(super) name: Name,
}

/// One statement, with the queries that WITH names before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one of them")]
pub(super) enum Statement {
    Query(Query),
    Insert(Vec<Cte>, Insert),
    Update(Vec<Cte>, Update),
    Delete(Vec<Cte>, Delete),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cte {
    pub(super) name: Name,
    pub(super) columns: Vec<Name>,
    pub(super) query: Query,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) with: Vec<Cte>,
    pub(super) first: Core,
    /// For example `UNION ALL`, and what follows it.
    pub(super) rest: Vec<(&'static str, Core)>,
    pub(super) order: Vec<Ordering>,
    pub(super) limit: Option<Limit>,
    pub(super) lock: Option<Lock>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Core {
    Select(Box<Select>),
    Values(Vec<Vec<Expression>>),
    Nested(Box<Query>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) distinct: bool,
    pub(super) items: Vec<Item>,
    pub(super) from: Vec<Joined>,
    pub(super) filter: Option<Expression>,
    pub(super) group: Vec<Expression>,
    pub(super) having: Option<Expression>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `*`
    Everything,
    /// `alias.*`
    EverythingOf(Name),
    Value(Expression, Option<Name>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) first: Factor,
    pub(super) joins: Vec<Join>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Join {
    /// For example `LEFT JOIN`.
    pub(super) kind: &'static str,
    pub(super) factor: Factor,
    pub(super) on: Option<JoinOn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JoinOn {
    Condition(Expression),
    Using(Vec<Name>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    Table { name: TableName, alias: Option<Alias> },
    Query { lateral: bool, query: Box<Query>, alias: Alias },
    Function { lateral: bool, name: &'static str, arguments: Vec<Expression>, alias: Option<Alias> },
    JsonTable { source: Expression, path: String, columns: Vec<JsonColumn>, alias: Alias },
    Nested(Box<Joined>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) name: Name,
    pub(super) columns: Vec<(Name, Option<TypeName>)>,
}

/// A column of `JSON_TABLE`: without a type it counts the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonColumn {
    pub(super) name: Name,
    pub(super) of: Option<(TypeName, String)>,
}

/// A type by words of our own list, with its sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeName {
    pub(super) words: &'static str,
    pub(super) sizes: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ordering {
    pub(super) by: Expression,
    /// `DESC`, `ASC` or nothing, then `NULLS FIRST` or `NULLS LAST` or nothing.
    pub(super) direction: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// `LIMIT`, `OFFSET` or `,`, each with its number, in the order of the text.
    pub(super) parts: Vec<(&'static str, Expression)>,
}

/// `FOR UPDATE` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) strength: &'static str,
    pub(super) of: Vec<Name>,
    pub(super) wait: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression(pub(super) Vec<Piece>);

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Column(Name),
    Qualified(Name, Name),
    Parameter,
    Text(String),
    Number(String),
    Hex(String),
    /// A word of our own lists that stands alone: an operator, `NULL`, `CURRENT_TIMESTAMP`, a unit of time.
    Word(&'static str),
    /// `DATE '...'` and its like.
    Typed(&'static str, String),
    /// `INTERVAL`, its value and its unit.
    Interval(Box<Expression>, Option<&'static str>),
    Cast(Box<Expression>, TypeName),
    /// PostgreSQL's `::`.
    CastTo(TypeName),
    Collate(Name),
    Case(Box<Case>),
    Call(Box<Call>),
    /// Expressions in parentheses: one, or a row or a list.
    Nested(Vec<Expression>),
    Subquery(Box<Query>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) of: Option<Expression>,
    pub(super) when: Vec<(Expression, Expression)>,
    pub(super) otherwise: Option<Expression>,
}

/// A call of a function of our own list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) arguments: Arguments,
    pub(super) filter: Option<Expression>,
    pub(super) over: Option<Window>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// `*`
    Everything,
    List {
        distinct: bool,
        /// `BOTH`, `LEADING` or `TRAILING`.
        side: Option<&'static str>,
        /// The separator before each argument (`,` or a word such as `FROM`; empty before the first), and the argument.
        list: Vec<(&'static str, Expression)>,
        order: Vec<Ordering>,
        separator: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) partition: Vec<Expression>,
    pub(super) order: Vec<Ordering>,
    /// For example `ROWS`, `BETWEEN`, `UNBOUNDED PRECEDING`, `AND`, `CURRENT ROW`.
    pub(super) frame: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insert {
    /// `OR IGNORE`, `IGNORE` or nothing.
    pub(super) or: Option<&'static str>,
    pub(super) table: TableName,
    pub(super) alias: Option<Name>,
    pub(super) columns: Vec<Name>,
    /// `None` for DEFAULT VALUES.
    pub(super) source: Option<Query>,
    pub(super) conflict: Option<Conflict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    DuplicateKey(Vec<Assignment>),
    OnConflict {
        target: Option<ConflictTarget>,
        /// `None` for DO NOTHING.
        update: Option<(Vec<Assignment>, Option<Expression>)>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConflictTarget {
    Columns(Vec<Expression>, Option<Expression>),
    Constraint(Name),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// With the alias that was written before it.
    pub(super) column: (Option<Name>, Name),
    pub(super) value: Expression,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) or: Option<&'static str>,
    /// More than one table, or a join, on MySQL alone.
    pub(super) tables: Vec<Joined>,
    pub(super) assignments: Vec<Assignment>,
    pub(super) from: Vec<Joined>,
    pub(super) filter: Option<Expression>,
    pub(super) order: Vec<Ordering>,
    pub(super) limit: Option<Limit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delete {
    /// MySQL's `DELETE alias FROM ...`; empty where the table after FROM is meant.
    pub(super) targets: Vec<Name>,
    pub(super) from: Vec<Joined>,
    pub(super) using: Vec<Joined>,
    pub(super) filter: Option<Expression>,
    pub(super) order: Vec<Ordering>,
    pub(super) limit: Option<Limit>,
}
