//! The names that an adapter's SQL may use: functions that only compute, and what a database says about its own tables.
//!
//! These are lists of what is allowed. Whatever stands in none of them may sleep, lock, read files, change the session,
//! run text as SQL (PostgreSQL's `query_to_xml`), or be a routine of the target's that does anything at all.

use crate::database::Dialect;

/// Functions of all dialects that compute a value from their arguments, the row, the clock or the session's identity, by
/// what they are about.
const FUNCTIONS: [(&str, &str); 7] = [
    (
        "text",
        "ascii bin bin_to_uuid bit_length btrim char char_length character_length chr concat concat_ws convert \
         elt field find_in_set format from_base64 group_concat hex initcap insert instr is_uuid lcase left length \
         like locate lower lpad ltrim mid normalize octet_length ord overlay position printf quote quote_literal \
         quote_nullable regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_substr replace \
         reverse right rpad rtrim soundex split_part starts_with strcmp string_agg strpos substr substring \
         substring_index to_base64 to_char to_hex to_number translate trim ucase unhex unicode upper uuid_to_bin",
    ),
    (
        "numbers and digests",
        "abs avg bit_and bit_count bit_or bit_xor ceil ceiling conv count crc32 decode digest div encode exp \
         floor gen_random_uuid greatest least ln log log10 log2 max md5 min mod pow power rand random round sha \
         sha1 sha2 sha224 sha256 sha384 sha512 sign sqrt std stddev sum total trunc truncate uuid uuid_short \
         variance",
    ),
    (
        "days and times",
        "adddate addtime age clock_timestamp curdate current_date current_time current_timestamp curtime date \
         date_add date_format date_part date_sub date_trunc datediff datetime day dayname dayofmonth dayofweek \
         dayofyear extract from_days from_unixtime hour julianday last_day localtime localtimestamp make_date \
         make_timestamp makedate microsecond minute month monthname now quarter second statement_timestamp \
         str_to_date strftime subdate subtime sysdate time time_format timediff timestamp timestampadd \
         timestampdiff to_date to_days to_timestamp transaction_timestamp unix_timestamp unixepoch utc_date \
         utc_time utc_timestamp week weekday weekofyear year yearweek",
    ),
    (
        "choice and type",
        "any_value array_agg array_length array_position cardinality cast coalesce every bool_and bool_or glob if \
         ifnull iif interval isnull nullif typeof values",
    ),
    ("windows", "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"),
    (
        "json",
        "json json_agg json_array json_array_length json_arrayagg json_build_array json_build_object \
         json_contains json_contains_path json_each json_extract json_extract_path json_extract_path_text \
         json_group_array json_group_object json_insert json_keys json_length json_merge_patch \
         json_merge_preserve json_object json_objectagg json_overlaps json_patch json_quote json_remove \
         json_replace json_search json_set json_tree json_type json_unquote json_valid json_value jsonb jsonb_agg \
         jsonb_array_length jsonb_build_array jsonb_build_object jsonb_extract_path jsonb_extract_path_text \
         jsonb_object_agg jsonb_set jsonb_typeof row_to_json to_json to_jsonb",
    ),
    (
        "who and where we are, and what was just changed",
        "changes connection_id current_catalog current_database current_schema current_user database found_rows \
         last_insert_id last_insert_rowid row_count schema session_user sqlite_version user version",
    ),
];

/// Functions that stand where a table could.
const TABLE_FUNCTIONS: &[&str] = &[
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_to_recordset",
    "json_tree",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_to_recordset",
    "unnest",
];

/// What SQLite says about its tables. Other pragmas show paths or settings.
const SQLITE_CATALOGUE: &[&str] = &[
    "pragma_foreign_key_list",
    "pragma_index_info",
    "pragma_index_list",
    "pragma_index_xinfo",
    "pragma_table_info",
    "pragma_table_list",
    "pragma_table_xinfo",
    "sqlite_master",
    "sqlite_schema",
];

/// What the standard's catalogue says about tables; not its process list, users, or routines' text.
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

/// Whether a function, by its name in lower case, only computes.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|(_, names)| names.split(' ').any(|known| known == name))
}

/// Whether a function may stand in FROM.
pub(super) fn is_table_function(dialect: Dialect, name: &str) -> bool {
    TABLE_FUNCTIONS.contains(&name) || (dialect == Dialect::Sqlite && SQLITE_CATALOGUE.contains(&name))
}

/// Whether a table of the catalogue, by schema and name in lower case, may be read.
pub(super) fn is_catalogue(dialect: Dialect, schema: Option<&str>, name: &str) -> bool {
    match schema {
        Some("information_schema") => dialect != Dialect::Sqlite && INFORMATION_SCHEMA.contains(&name),
        Some(_) => false,
        None => dialect == Dialect::Sqlite && SQLITE_CATALOGUE.contains(&name),
    }
}

/// Whether a table without a schema belongs to the database itself rather than to the target.
pub(super) fn is_internal(dialect: Dialect, name: &str) -> bool {
    match dialect {
        Dialect::Sqlite => name.starts_with("sqlite_") || name.starts_with("pragma_") || name == "dbstat",
        Dialect::Postgres => name.starts_with("pg_"),
        Dialect::MySql => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_as_a_whole_only() {
        assert!(is_function("coalesce") && is_function("ascii") && is_function("version"));
        assert!(!is_function("") && !is_function("coal") && !is_function("sleep") && !is_function("ascii bin"));
    }

    #[test]
    fn every_function_stands_once() {
        let mut names: Vec<&str> = FUNCTIONS.iter().flat_map(|(_, names)| names.split(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
