//! Writes queries and their FROM clauses.

use super::render::Writer;
use super::tree::{
    Alias, Core, Cte, Factor, Item, Join, JoinOn, Joined, JsonColumn, Limit, Lock, Name, Ordering, Query, Select,
    TableName, TypeName,
};

impl Writer {
    pub(super) fn with(&mut self, with: &[Cte]) {
        if with.is_empty() {
            return;
        }
        self.word("WITH");
        self.list(with, |writer, Cte { name, columns, query }| {
            writer.name(name);
            if !columns.is_empty() {
                writer.parenthesised(columns, Self::name);
            }
            writer.word("AS");
            writer.within(query);
        });
    }

    pub(super) fn query(&mut self, query: &Query) {
        let Query { with, first, rest, order, limit, lock } = query;
        let row = self.take_row();
        self.with(with);
        self.note(|notes| notes.row = row);
        self.core(first);
        for (operator, core) in rest {
            self.word(operator);
            self.core(core);
        }
        self.order(order);
        self.limit(limit.as_ref());
        if let Some(Lock { strength, of, wait }) = lock {
            self.word(strength);
            if !of.is_empty() {
                self.word("OF");
                self.list(of, Self::name);
            }
            self.words(wait);
        }
    }

    pub(super) fn core(&mut self, core: &Core) {
        match core {
            Core::Select(select) => self.select(select),
            Core::Nested(query) => self.within(query),
            Core::Values(rows) => {
                let columns = self.take_row();
                self.word("VALUES");
                self.list(rows, |writer, row| {
                    let mut index = 0;
                    writer.parenthesised(row, |writer, value| {
                        writer.for_column(&columns, index, |writer| writer.expression(value));
                        index += 1;
                    });
                });
            }
        }
    }

    pub(super) fn select(&mut self, select: &Select) {
        let Select { distinct, items, from, filter, group, having } = select;
        let columns = self.take_row();
        let mut index = 0;
        self.word(if *distinct { "SELECT DISTINCT" } else { "SELECT" });
        self.list(items, |writer, item| match item {
            Item::Everything => writer.word("*"),
            Item::EverythingOf(alias) => {
                writer.name(alias);
                writer.out.push_str(".*");
            }
            Item::Value(value, alias) => {
                writer.for_column(&columns, index, |writer| writer.expression(value));
                index += 1;
                writer.named(alias.as_ref());
            }
        });
        self.clause("FROM", from, Self::joined);
        self.clause("WHERE", filter.as_slice(), Self::expression);
        self.clause("GROUP BY", group, Self::expression);
        self.clause("HAVING", having.as_slice(), Self::expression);
    }

    /// A clause with its list; nothing where the list is empty.
    pub(super) fn clause<T>(&mut self, word: &str, list: &[T], write: impl FnMut(&mut Self, &T)) {
        if !list.is_empty() {
            self.word(word);
            self.list(list, write);
        }
    }

    pub(super) fn named(&mut self, alias: Option<&Name>) {
        if let Some(alias) = alias {
            self.word("AS");
            self.name(alias);
        }
    }

    pub(super) fn order(&mut self, order: &[Ordering]) {
        self.clause("ORDER BY", order, |writer, Ordering { by, direction }| {
            writer.expression(by);
            writer.words(direction);
        });
    }

    pub(super) fn limit(&mut self, limit: Option<&Limit>) {
        for (word, number) in limit.iter().flat_map(|limit| &limit.parts) {
            self.word(word);
            self.expression(number);
        }
    }

    pub(super) fn joined(&mut self, joined: &Joined) {
        let Joined { first, joins } = joined;
        self.factor(first);
        for Join { kind, factor, on } in joins {
            self.word(kind);
            self.factor(factor);
            match on {
                None => {}
                Some(JoinOn::Condition(condition)) => {
                    self.word("ON");
                    self.expression(condition);
                }
                Some(JoinOn::Using(columns)) => {
                    self.word("USING");
                    self.parenthesised(columns, Self::name);
                }
            }
        }
    }

    pub(super) fn factor(&mut self, factor: &Factor) {
        match factor {
            Factor::Table { name, alias } => {
                self.table(name);
                self.alias(alias.as_ref());
            }
            Factor::Query { lateral, query, alias } => {
                self.lateral(*lateral);
                self.within(query);
                self.alias(Some(alias));
            }
            Factor::Function { lateral, name, arguments, alias } => {
                self.lateral(*lateral);
                self.function(name, true);
                self.list(arguments, Self::expression);
                self.out.push(')');
                self.alias(alias.as_ref());
            }
            Factor::JsonTable { source, path, columns, alias } => {
                self.word("JSON_TABLE(");
                self.expression(source);
                self.out.push(',');
                self.text(path);
                self.word("COLUMNS");
                self.parenthesised(columns, |writer, JsonColumn { name, of }| {
                    writer.name(name);
                    match of {
                        None => writer.word("FOR ORDINALITY"),
                        Some((kind, path)) => {
                            writer.kind(kind);
                            writer.word("PATH");
                            writer.text(path);
                        }
                    }
                });
                self.out.push(')');
                self.alias(Some(alias));
            }
            Factor::Nested(joined) => {
                self.word("(");
                self.joined(joined);
                self.out.push(')');
            }
        }
    }

    pub(super) fn lateral(&mut self, lateral: bool) {
        if lateral {
            self.word("LATERAL");
        }
    }

    pub(super) fn table(&mut self, table: &TableName) {
        let TableName { schema, name } = table;
        if let Some(schema) = schema {
            self.name(schema);
            self.out.push('.');
        }
        self.name(name);
    }

    pub(super) fn alias(&mut self, alias: Option<&Alias>) {
        let Some(Alias { name, columns }) = alias else { return };
        self.named(Some(name));
        if !columns.is_empty() {
            self.parenthesised(columns, |writer, (name, kind)| {
                writer.name(name);
                if let Some(kind) = kind {
                    writer.kind(kind);
                }
            });
        }
    }

    pub(super) fn kind(&mut self, kind: &TypeName) {
        let TypeName { words, sizes } = kind;
        self.word(words);
        if !sizes.is_empty() {
            self.out.push('(');
            self.list(sizes, |writer, size| writer.word(&size.to_string()));
            self.out.push(')');
        }
    }
}
