//! Statements made of names, functions and forms that are nearly right.

use tests::environment::Backend;

/// Makes up statements; the same seed makes the same one.
pub(super) struct Generator {
    state: u64,
    backend: Backend,
}

const SOURCES: [&str; 20] = [
    "granted",
    "granted",
    "granted",
    "granted g",
    "granted g",
    "readonly",
    "readonly x",
    "readonly x",
    "log",
    "secret",
    "SECRET g",
    "Secret x",
    "\"secret\"",
    "public.secret x",
    "mysql.user",
    "information_schema.tables x",
    "pg_shadow",
    "(SELECT 1 AS a, 2 AS b) v",
    "(SELECT * FROM readonly) x",
    "secret g",
];
const COLUMNS: [&str; 18] = [
    "a",
    "b",
    "a",
    "b",
    "a",
    "g.a",
    "g.b",
    "x.a",
    "x.b",
    "v.a",
    "granted.a",
    "secret.a",
    "g.spy",
    "x.peek",
    "v.pg_sleep",
    "x.upper",
    "(g).a",
    "log.a",
];
const FUNCTIONS: [&str; 22] = [
    "upper",
    "COUNT",
    "MAX",
    "COALESCE",
    "ABS",
    "total",
    "age",
    "any_value",
    "pg_sleep",
    "sleep",
    "peek",
    "set_config",
    "load_file",
    "version",
    "ts_stat",
    "lower",
    "concat",
    "pg_catalog.upper",
    "POSITION",
    "json_extract",
    "md5",
    "substr",
];
const OPERATORS: [&str; 14] =
    ["+", "-", "=", "<", "AND", "OR", "IN", "LIKE", "||", "@@@", "::", "IS NOT NULL AND", "*", "BETWEEN 1 AND"];

impl Generator {
    pub(super) fn new(seed: u64, backend: Backend) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, backend }
    }

    fn below(&mut self, count: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % count
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }

    fn maybe(&mut self, one_in: usize, make: impl FnOnce(&mut Self) -> String) -> String {
        if self.below(one_in) == 0 { make(self) } else { String::new() }
    }

    fn expression(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 10 }) {
            0 => "1".to_owned(),
            1 => "'1'".to_owned(),
            2..=4 => self.pick(&COLUMNS).to_owned(),
            5 => format!("{}({})", self.pick(&FUNCTIONS), self.expression(depth - 1)),
            6 => format!("(SELECT {} FROM {})", self.expression(depth - 1), self.pick(&SOURCES)),
            7 => format!("CASE WHEN {} = 1 THEN {} END", self.expression(depth - 1), self.expression(depth - 1)),
            _ => format!("{} {} {}", self.expression(depth - 1), self.pick(&OPERATORS), self.expression(depth - 1)),
        }
    }

    fn select(&mut self, depth: usize) -> String {
        let distinct = self.pick(&["", "", "DISTINCT "]);
        let items = format!("{}{}", self.expression(depth), self.pick(&["", "", " AS a", ", b", ", *", ", g.*"]));
        let from = self.pick(&SOURCES);
        let join = self.maybe(3, |it| format!(" JOIN {} ON {}", it.pick(&SOURCES), it.expression(1)));
        let filter = self.maybe(2, |it| format!(" WHERE {}", it.expression(depth)));
        let more = self.maybe(6, |it| format!(" UNION ALL {}", it.select(1)));
        format!("SELECT {distinct}{items} FROM {from}{join}{filter}{more}")
    }

    fn with(&mut self) -> String {
        self.maybe(4, |it| {
            let name = it.pick(&["w", "g", "secret", "\"Secret\"", "SECRET", "only", "granted", "x"]);
            format!("WITH {name} AS ({}) ", it.select(1))
        })
    }

    pub(super) fn statement(&mut self) -> String {
        let with = self.with();
        let is_mysql = self.backend == Backend::MariaDb;
        match self.below(8) {
            0 => format!(
                "{with}INSERT INTO {} (a, b) SELECT {}, 1 FROM {}",
                self.table(),
                self.expression(2),
                self.pick(&SOURCES)
            ),
            1 => format!("INSERT INTO {} (a) VALUES ({})", self.table(), self.expression(1)),
            2 => {
                let join = if is_mysql {
                    self.maybe(2, |it| format!(" JOIN {} ON 1 = 1", it.pick(&SOURCES)))
                } else {
                    String::new()
                };
                let target = self.pick(&["a", "b", "g.a", "x.a", "G.a"]);
                let from =
                    if is_mysql { String::new() } else { self.maybe(3, |it| format!(" FROM {}", it.pick(&SOURCES))) };
                format!(
                    "{with}UPDATE {}{join} SET {target} = {}{from} WHERE {}",
                    self.pick(&SOURCES),
                    self.expression(1),
                    self.expression(1)
                )
            }
            3 => format!("{with}DELETE FROM {} WHERE {}", self.table(), self.expression(2)),
            4 if is_mysql => format!(
                "DELETE {} FROM {} JOIN {} ON 1 = 1",
                self.pick(&["g", "x", "T", "log"]),
                self.table(),
                self.pick(&SOURCES)
            ),
            _ => {
                let lock = self.maybe(6, |it| it.pick(&[" FOR UPDATE", " FOR SHARE"]).to_owned());
                format!("{with}{}{lock}", self.select(2))
            }
        }
    }

    fn table(&mut self) -> &'static str {
        self.pick(&["log", "log", "log", "granted", "readonly", "secret", "Secret", "\"secret\"", "mysql.user"])
    }
}
