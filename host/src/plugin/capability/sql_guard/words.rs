//! The words that a statement may use: keywords, functions, types, and the tables of the catalogue. There is one list
//! for each dialect, with names that the database itself defines: any other name could be a routine of the target.
//!
//! A function outside these lists may sleep, lock, read files, change the session, run text as SQL (PostgreSQL's
//! `query_to_xml`), or be any routine.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::database::Dialect;

/// Characters of a name from outside that a reason shows.
const SHOWN_CHARS_MAX: usize = 64;

/// Functions that SQLite, MySQL and PostgreSQL all define.
const FUNCTIONS: &str = "abs avg coalesce concat concat_ws count cume_dist dense_rank first_value lag last_value lead \
    length lower ltrim max min nth_value ntile nullif octet_length percent_rank rank round row_number rtrim \
    sign substring sum trim upper";

/// Functions that MySQL and PostgreSQL define; the built-in SQLite has no such functions.
const NUMBERS: &str =
    "acos asin atan atan2 ceil ceiling cos degrees exp floor ln log mod pi power radians sin sqrt tan";

/// Not `instr` and `replace`: SQLite cannot be stopped within a function, and theirs takes the square of a value's
/// length.
const SQLITE: &str = "changes char date datetime format glob group_concat hex ifnull iif json json_array \
    json_array_length json_extract json_group_array json_group_object json_insert json_object json_patch json_quote \
    json_remove json_replace json_set json_type json_valid julianday last_insert_rowid like printf quote random sqlite_version strftime string_agg substr time timediff total total_changes typeof \
    unhex unicode unixepoch";

/// Functions that MySQL 8.0 and MariaDB 10.6 both define. A name that only one of them has may be a stored function in
/// the other.
const MYSQL: &str = "adddate addtime ascii bin bit_and bit_count bit_length bit_or bit_xor char char_length \
    character_length connection_id conv convert crc32 curdate current_date current_time current_timestamp \
    current_user curtime database date date_add date_format date_sub datediff day dayname dayofmonth dayofweek \
    dayofyear elt extract field find_in_set format found_rows from_base64 from_days from_unixtime greatest \
    group_concat hex hour if ifnull insert instr isnull json_array json_arrayagg json_contains json_contains_path \
    json_extract json_insert json_keys json_length json_merge_patch json_merge_preserve json_object json_objectagg \
    json_quote json_remove json_replace json_search json_set json_type json_unquote json_valid json_value last_day \
    last_insert_id lcase least left localtime localtimestamp locate log log10 log2 lpad makedate maketime md5 \
    microsecond mid minute month monthname now ord pow quarter quote rand regexp_instr regexp_replace regexp_substr \
    replace reverse right row_count rpad schema second session_user sha sha1 sha2 soundex std stddev stddev_pop stddev_samp \
    str_to_date strcmp subdate substr substring_index subtime sysdate system_user time time_format timediff \
    timestamp timestampadd timestampdiff to_base64 to_days truncate ucase unhex unix_timestamp user utc_date utc_time \
    utc_timestamp uuid uuid_short values var_pop var_samp variance version week weekday weekofyear year yearweek";

/// All of these are in `pg_catalog`, or forms of PostgreSQL's grammar ([`FORMS`]).
const POSTGRES: &str = "age array_agg array_length array_position ascii bit_and bit_length bit_or bool_and bool_or \
    btrim cardinality cbrt char_length character_length chr clock_timestamp convert_from current_database \
    current_schema current_timestamp current_time localtime localtimestamp date_part date_trunc decode div encode \
    every extract format gen_random_uuid greatest initcap json_agg json_array_length json_build_array \
    json_build_object json_extract_path json_extract_path_text json_object json_object_agg json_typeof jsonb_agg \
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_extract_path jsonb_extract_path_text jsonb_insert \
    jsonb_object_agg jsonb_set jsonb_strip_nulls jsonb_typeof least left log lpad make_date make_interval make_time \
    make_timestamp md5 now normalize overlay position quote_literal quote_nullable random regexp_match \
    regexp_matches regexp_replace replace reverse right row_to_json rpad sha224 sha256 sha384 sha512 split_part \
    starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg strpos substr to_char to_date \
    to_json to_jsonb to_number to_timestamp transaction_timestamp translate trunc var_pop var_samp variance version";

/// Calls that are part of PostgreSQL's grammar: they have no schema, and no routine can replace them.
const FORMS: &[&str] = &[
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "trim",
    "extract",
    "position",
    "normalize",
    "current_timestamp",
    "current_time",
    "localtime",
    "localtimestamp",
];

/// Functions that are allowed in FROM.
const TABLE_FUNCTIONS_POSTGRES: &[&str] = &[
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_to_recordset",
    "unnest",
];

/// The pragmas that describe SQLite's tables. Other pragmas show paths or settings.
const CATALOGUE_FUNCTIONS_SQLITE: &[&str] = &[
    "json_each",
    "json_tree",
    "pragma_foreign_key_list",
    "pragma_index_info",
    "pragma_index_list",
    "pragma_index_xinfo",
    "pragma_table_info",
    "pragma_table_list",
    "pragma_table_xinfo",
];
const CATALOGUE_SQLITE: &[&str] = &["pragma_table_list", "sqlite_master", "sqlite_schema"];

/// Tables of the standard's catalogue that describe tables. Its process list, users and source texts of routines are
/// excluded.
const INFORMATION_SCHEMA: &[&str] = &[
    "character_sets",
    "check_constraints",
    "collations",
    "columns",
    "constraint_column_usage",
    "key_column_usage",
    "referential_constraints",
    "statistics",
    "table_constraints",
    "tables",
];

/// Keywords that no name can be without quotes, since they end what stands before them or begin something else.
const RESERVED: &str = "all and any as asc between by case cast collate cross default delete desc distinct div else end escape \
    except exists false fetch for force from full glob group having ignore ilike in inner insert intersect interval \
    into is join lateral left like limit lock match merge natural not null offset on only or order outer partition \
    procedure qualify recursive regexp replace returning right rlike select set similar some straight_join tablesample \
    then true union update use using values when where window with xor";

/// Units of time, as EXTRACT and INTERVAL name them.
pub(super) const UNITS: &[&str] = &[
    "MICROSECOND",
    "MILLISECONDS",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "WEEK",
    "MONTH",
    "QUARTER",
    "YEAR",
    "DECADE",
    "CENTURY",
    "EPOCH",
    "DOW",
    "ISODOW",
    "DOY",
    "ISOYEAR",
    "DAY_HOUR",
    "DAY_MINUTE",
    "DAY_SECOND",
    "HOUR_MINUTE",
    "HOUR_SECOND",
    "MINUTE_SECOND",
    "YEAR_MONTH",
];

const TYPES_SQLITE: &[&str] =
    &["INTEGER", "INT", "BIGINT", "TEXT", "VARCHAR", "CHAR", "REAL", "NUMERIC", "DECIMAL", "BLOB"];
const TYPES_MYSQL: &[&str] = &[
    "SIGNED INTEGER",
    "SIGNED",
    "UNSIGNED INTEGER",
    "UNSIGNED",
    "BIGINT",
    "INTEGER",
    "INT",
    "SMALLINT",
    "TINYINT",
    "CHAR",
    "VARCHAR",
    "TEXT",
    "BINARY",
    "VARBINARY",
    "DATETIME",
    "DATE",
    "TIME",
    "YEAR",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "JSON",
];
const TYPES_POSTGRES: &[&str] = &[
    "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP WITHOUT TIME ZONE",
    "TIME WITHOUT TIME ZONE",
    "DOUBLE PRECISION",
    "CHARACTER VARYING",
    "CHARACTER",
    "SMALLINT",
    "BIGINT",
    "INTEGER",
    "INT2",
    "INT4",
    "INT8",
    "INT",
    "NUMERIC",
    "DECIMAL",
    "FLOAT4",
    "FLOAT8",
    "REAL",
    "BOOLEAN",
    "BOOL",
    "TEXT",
    "VARCHAR",
    "CHAR",
    "BYTEA",
    "DATE",
    "TIMESTAMPTZ",
    "TIMESTAMP",
    "TIME",
    "INTERVAL",
    "UUID",
    "JSONB",
    "JSON",
];

/// Words that stand alone as a value.
const CONSTANTS_SQLITE: &[&str] = &["NULL", "TRUE", "FALSE", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"];
const CONSTANTS_MYSQL: &[&str] = &[
    "NULL",
    "TRUE",
    "FALSE",
    "DEFAULT",
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_USER",
    "LOCALTIMESTAMP",
    "LOCALTIME",
    "UTC_TIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
];
const CONSTANTS_POSTGRES: &[&str] = &[
    "NULL",
    "TRUE",
    "FALSE",
    "DEFAULT",
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_USER",
    "CURRENT_CATALOG",
    "CURRENT_SCHEMA",
    "SESSION_USER",
    "USER",
    "LOCALTIMESTAMP",
    "LOCALTIME",
];

/// Operators by word between two operands, longer ones before those that they begin with.
const INFIXES_SQLITE: &[&str] = &[
    "AND",
    "OR",
    "NOT LIKE",
    "LIKE",
    "NOT GLOB",
    "GLOB",
    "ESCAPE",
    "NOT BETWEEN",
    "BETWEEN",
    "NOT IN",
    "IN",
    "IS NOT DISTINCT FROM",
    "IS DISTINCT FROM",
    "IS NOT",
    "IS",
];
const INFIXES_MYSQL: &[&str] = &[
    "AND",
    "OR",
    "XOR",
    "DIV",
    "MOD",
    "NOT LIKE",
    "LIKE",
    "NOT REGEXP",
    "REGEXP",
    "NOT RLIKE",
    "RLIKE",
    "ESCAPE",
    "NOT BETWEEN",
    "BETWEEN",
    "NOT IN",
    "IN",
];
const INFIXES_POSTGRES: &[&str] = &[
    "AND",
    "OR",
    "NOT LIKE",
    "LIKE",
    "NOT ILIKE",
    "ILIKE",
    "ESCAPE",
    "NOT BETWEEN",
    "BETWEEN",
    "NOT IN",
    "IN",
    "IS NOT DISTINCT FROM",
    "IS DISTINCT FROM",
    "AT TIME ZONE",
];

/// Operators by word after their operand.
const POSTFIXES: &[&str] = &["IS NOT NULL", "IS NULL", "IS NOT TRUE", "IS TRUE", "IS NOT FALSE", "IS FALSE"];

static RESERVED_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| RESERVED.split_whitespace().collect());
static FUNCTIONS_SQLITE: LazyLock<HashSet<&str>> = LazyLock::new(|| functions(&[FUNCTIONS, SQLITE]));
static FUNCTIONS_MYSQL: LazyLock<HashSet<&str>> = LazyLock::new(|| functions(&[FUNCTIONS, NUMBERS, MYSQL]));
static FUNCTIONS_POSTGRES: LazyLock<HashSet<&str>> = LazyLock::new(|| functions(&[FUNCTIONS, NUMBERS, POSTGRES]));

fn functions(lists: &[&'static str]) -> HashSet<&'static str> {
    lists.iter().flat_map(|list| list.split_whitespace()).collect()
}

/// The functions of a dialect, in lower case.
pub(super) fn all_functions(dialect: Dialect) -> &'static HashSet<&'static str> {
    match dialect {
        Dialect::Sqlite => &FUNCTIONS_SQLITE,
        Dialect::MySql => &FUNCTIONS_MYSQL,
        Dialect::Postgres => &FUNCTIONS_POSTGRES,
    }
}

/// The function of this name that only computes.
pub(super) fn function(dialect: Dialect, name: &str) -> Option<&'static str> {
    all_functions(dialect).get(name.to_ascii_lowercase().as_str()).copied()
}

/// Whether SQLite's time for a call would be the square of a value's length: see [`SQLITE`].
pub(super) fn is_unbounded(dialect: Dialect, name: &str, arguments: usize) -> bool {
    dialect == Dialect::Sqlite && arguments > 1 && matches!(name, "trim" | "ltrim" | "rtrim" | "unhex")
}

/// Whether a call is one of PostgreSQL's grammar.
pub(super) fn is_form(name: &str) -> bool {
    FORMS.contains(&name)
}

/// Whether the first argument is a unit of time.
pub(super) fn takes_unit(name: &str) -> bool {
    matches!(name, "extract" | "timestampadd" | "timestampdiff")
}

/// The function of this name that may stand in FROM.
pub(super) fn table_function(dialect: Dialect, name: &str) -> Option<&'static str> {
    let known = match dialect {
        Dialect::Sqlite => CATALOGUE_FUNCTIONS_SQLITE,
        Dialect::MySql => &[],
        Dialect::Postgres => TABLE_FUNCTIONS_POSTGRES,
    };
    known.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

/// The columns of a function in FROM that are named by the database.
pub(super) fn table_function_columns(name: &str) -> &'static [&'static str] {
    match name {
        "json_each" | "json_each_text" | "jsonb_each" | "jsonb_each_text" => &["key", "value"],
        _ => &["value"],
    }
}

/// Whether a word is no name without quotes.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED_WORDS.contains(word.to_ascii_lowercase().as_str())
}

pub(super) fn types(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => TYPES_SQLITE,
        Dialect::MySql => TYPES_MYSQL,
        Dialect::Postgres => TYPES_POSTGRES,
    }
}

pub(super) fn constants(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => CONSTANTS_SQLITE,
        Dialect::MySql => CONSTANTS_MYSQL,
        Dialect::Postgres => CONSTANTS_POSTGRES,
    }
}

pub(super) fn prefixes(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::MySql => &["NOT", "EXISTS", "BINARY"],
        Dialect::Sqlite | Dialect::Postgres => &["NOT", "EXISTS"],
    }
}

pub(super) fn infixes(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => INFIXES_SQLITE,
        Dialect::MySql => INFIXES_MYSQL,
        Dialect::Postgres => INFIXES_POSTGRES,
    }
}

pub(super) fn postfixes(dialect: Dialect) -> &'static [&'static str] {
    let _ = dialect;
    POSTFIXES
}

/// Whether a table of the catalogue may be read.
pub(super) fn is_catalogue(dialect: Dialect, schema: Option<&str>, name: &str) -> bool {
    let known = |names: &[&str]| match dialect {
        Dialect::Postgres => names.contains(&name),
        Dialect::Sqlite | Dialect::MySql => names.iter().any(|known| known.eq_ignore_ascii_case(name)),
    };
    match (dialect, schema) {
        (Dialect::Sqlite, None) => known(CATALOGUE_SQLITE),
        (Dialect::MySql, Some(schema)) => {
            schema.eq_ignore_ascii_case("information_schema") && known(INFORMATION_SCHEMA)
        }
        (Dialect::Postgres, Some(schema)) => schema == "information_schema" && known(INFORMATION_SCHEMA),
        (Dialect::Sqlite, Some(_)) | (Dialect::MySql | Dialect::Postgres, None) => false,
    }
}

/// Whether a table without a schema belongs to the database itself rather than to the target.
pub(super) fn is_internal(dialect: Dialect, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match dialect {
        Dialect::Sqlite => name.starts_with("sqlite_") || name.starts_with("pragma_") || name == "dbstat",
        Dialect::Postgres => name.starts_with("pg_"),
        Dialect::MySql => false,
    }
}

/// A foreign name as a reason may show it: of plain characters, and not long.
pub(super) fn shown(name: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '$' | '-' | ' ') { character } else { '?' }
    };
    let mut shown: String = name.chars().take(SHOWN_CHARS_MAX).map(plain).collect();
    if name.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}
