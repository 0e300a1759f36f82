//! What each error of MySQL and MariaDB means, and in which words of ours it is shown.
//!
//! The server's own sentence is never repeated, since SIGNAL lets a trigger write anything there; only the name of a
//! key, a table or a column is taken out of it (`names.rs`). A number that is not in the table is judged by its
//! SQLSTATE. Numbers from 1 to 999 are the server's errors with its own files and memory.

use super::ErrorKind::{
    self, Contention, DuplicateKey, InvalidValue, MissingObject, Other, PermissionDenied, Rejected, Unavailable,
};
use super::names::{identifier, named_in};
use super::sqlstate;

/// Number, meaning, and our words. In the order of the numbers.
#[rustfmt::skip]
const ERRORS: &[(u16, ErrorKind, &str)] = &[
    (1003, Unavailable, "the server cannot write a file"),
    (1004, Unavailable, "the server cannot make a file"),
    (1005, Unavailable, "the server cannot make a table"),
    (1016, Unavailable, "the server cannot open a table's file"),
    (1017, Unavailable, "the server does not find a table's file"),
    (1020, Contention, "the row was changed by someone else meanwhile"),
    (1021, Unavailable, "the server's disk is full"),
    (1022, DuplicateKey, "a unique key has this value already"),
    (1023, Unavailable, "the server cannot close a file"),
    (1024, Unavailable, "the server cannot read a file"),
    (1026, Unavailable, "the server cannot write a file"),
    (1028, Unavailable, "the server stopped sorting"),
    (1030, Unavailable, "the storage engine failed"),
    (1033, Unavailable, "a table's file is damaged"),
    (1034, Unavailable, "a table's key file is damaged: repair the table"),
    (1035, Unavailable, "a table's key file is too old: repair the table"),
    (1036, PermissionDenied, "the table is read-only"),
    (1037, Unavailable, "the server is out of memory"),
    (1038, Unavailable, "the server is out of memory for sorting"),
    (1040, Unavailable, "the server has too many connections"),
    (1041, Unavailable, "the server is out of memory"),
    (1043, Rejected, "the server and this host do not agree on how to connect"),
    (1044, Rejected, "the user may not use this database"),
    (1045, Rejected, "the user or the password is wrong, or the user may not come from this machine"),
    (1046, Rejected, "the URL names no database"),
    (1047, Unavailable, "this node of the cluster is not ready"),
    (1048, InvalidValue, "a column takes no NULL"),
    (1049, Rejected, "there is no such database"),
    (1051, MissingObject, "a table is missing"),
    (1052, MissingObject, "a column is ambiguous"),
    (1053, Unavailable, "the server is shutting down"),
    (1054, MissingObject, "a column is missing"),
    (1062, DuplicateKey, "a unique key has this value already"),
    (1077, Unavailable, "the server is shutting down"),
    (1079, Unavailable, "the server is shutting down"),
    (1080, Unavailable, "the server closed the connection"),
    (1081, Unavailable, "the server cannot make a socket"),
    (1099, PermissionDenied, "the table is locked for reading only"),
    (1109, MissingObject, "a table is missing"),
    (1114, Unavailable, "the server's disk or tablespace is full"),
    (1115, MissingObject, "a character set is missing"),
    (1118, InvalidValue, "the row is too long"),
    (1129, Rejected, "the server blocks this machine after too many failed connections: FLUSH HOSTS there"),
    (1130, Rejected, "the server takes no connections from this machine"),
    (1135, Unavailable, "the server cannot make another thread"),
    (1142, PermissionDenied, "the database user may not do this to the table"),
    (1143, PermissionDenied, "the database user may not do this to the column"),
    (1146, MissingObject, "a table is missing"),
    (1151, Unavailable, "the server has too many delayed inserts"),
    (1152, Unavailable, "the connection was aborted"),
    (1153, InvalidValue, "the statement is larger than the server's max_allowed_packet"),
    (1154, Unavailable, "the connection was lost"),
    (1155, Unavailable, "the connection was lost"),
    (1156, Unavailable, "the connection was lost"),
    (1157, Unavailable, "the connection was lost"),
    (1158, Unavailable, "the connection was lost"),
    (1159, Unavailable, "the connection timed out"),
    (1160, Unavailable, "the connection was lost"),
    (1161, Unavailable, "the connection timed out"),
    (1169, DuplicateKey, "a unique key has this value already"),
    (1180, Unavailable, "the server could not commit"),
    (1181, Unavailable, "the server could not roll back"),
    (1184, Unavailable, "the connection was aborted"),
    (1194, Unavailable, "a table is damaged: repair it"),
    (1195, Unavailable, "a table is damaged and its last repair failed"),
    (1197, InvalidValue, "the transaction is larger than the server's binary log takes"),
    (1203, Unavailable, "the database user has too many connections"),
    (1205, Contention, "a lock was not free in time"),
    (1206, Unavailable, "the server has no memory for more locks"),
    (1213, Contention, "a deadlock"),
    (1216, InvalidValue, "a foreign key refuses the row"),
    (1217, InvalidValue, "a foreign key refuses the row"),
    (1226, Unavailable, "the database user has used up a limit of the server"),
    (1227, PermissionDenied, "the database user may not do this"),
    (1251, Rejected, "the server wants an authentication that this host does not speak"),
    (1257, Unavailable, "the server is out of memory"),
    (1264, InvalidValue, "a value is out of its column's range"),
    (1265, InvalidValue, "a value does not fit its column's type"),
    (1273, MissingObject, "a collation is missing"),
    (1286, MissingObject, "a storage engine is missing"),
    (1290, PermissionDenied, "the server takes no writes: it is read-only, a replica for example"),
    (1292, InvalidValue, "a value is not of its column's type"),
    (1297, Unavailable, "the storage engine failed for the moment"),
    (1300, InvalidValue, "a text is not in its column's character set"),
    (1305, MissingObject, "a function or procedure is missing"),
    (1317, Unavailable, "the statement was interrupted at the server"),
    (1356, MissingObject, "a view refers to something that is missing or may not be read"),
    (1364, InvalidValue, "a column without a default needs a value"),
    (1366, InvalidValue, "a value is not of its column's type"),
    (1367, InvalidValue, "a value is not a number"),
    (1369, InvalidValue, "a view's CHECK OPTION refuses the row"),
    (1370, PermissionDenied, "the database user may not run a function or procedure"),
    (1390, Other, "the statement has too many parameters"),
    (1406, InvalidValue, "a value is too long for its column"),
    (1411, InvalidValue, "a value is not of its function's type"),
    (1412, Contention, "the table was altered meanwhile"),
    (1441, InvalidValue, "a date is out of range"),
    (1449, MissingObject, "the user who defined a trigger or view is missing"),
    (1451, InvalidValue, "a foreign key refuses the row"),
    (1452, InvalidValue, "a foreign key refuses the row"),
    (1457, Unavailable, "the server cannot load a function or procedure"),
    (1467, Unavailable, "the table's counter gives no more numbers"),
    (1524, Rejected, "the server lacks the authentication plugin of this user"),
    (1525, InvalidValue, "a value is not of its column's type"),
    (1526, InvalidValue, "the table has no partition for a value"),
    (1534, Unavailable, "the server could not write its binary log"),
    (1557, DuplicateKey, "a unique key has this value already"),
    (1586, DuplicateKey, "a unique key has this value already"),
    (1598, Unavailable, "the server cannot write its binary log"),
    (1602, Unavailable, "a trigger's file is damaged"),
    (1613, Contention, "the server rolled the transaction back"),
    (1614, Contention, "a deadlock"),
    (1615, Contention, "the table was altered meanwhile"),
    (1622, Contention, "the server rolled the transaction back"),
    (1630, MissingObject, "a function is missing"),
    (1637, Unavailable, "the server has too many transactions at once"),
    (1643, InvalidValue, "a trigger or routine of the database refuses the row"),
    (1644, InvalidValue, "a trigger or routine of the database refuses the row"),
    (1661, Unavailable, "the server cannot write its binary log for this table"),
    (1662, Unavailable, "the server cannot write its binary log for this table"),
    (1663, Unavailable, "the server cannot write its binary log for this table"),
    (1665, Unavailable, "the server cannot write its binary log for this table"),
    (1667, Unavailable, "the server cannot write its binary log for this table"),
    (1689, Contention, "a lock was given up for another connection"),
    (1690, InvalidValue, "a number is out of range"),
    (1698, Rejected, "the user or the password is wrong, or the user may not come from this machine"),
    (1705, InvalidValue, "the statement is larger than the server's binary log takes"),
    (1712, Unavailable, "an index is damaged"),
    (1713, InvalidValue, "the row is too long for the undo log"),
    (1728, Unavailable, "a system table is damaged: run mysql_upgrade at the server"),
    (1748, InvalidValue, "the row is not of the named partition"),
    (1761, DuplicateKey, "a unique key has this value already"),
    (1762, DuplicateKey, "a unique key has this value already"),
    (1792, PermissionDenied, "the transaction is read-only"),
    (1805, Unavailable, "a system table is damaged: run mysql_upgrade at the server"),
    (1812, Unavailable, "a tablespace is missing"),
    (1813, Unavailable, "a tablespace exists already"),
    (1814, Unavailable, "a tablespace was discarded"),
    (1815, Unavailable, "the server met an internal error"),
    (1817, Unavailable, "an index is damaged"),
    (1820, Rejected, "the user's password has expired"),
    (1836, PermissionDenied, "the server takes no writes: it is read-only, a replica for example"),
    (1859, DuplicateKey, "a unique key has this value already"),
    (1862, Rejected, "the user's password has expired"),
    (1874, PermissionDenied, "the server takes no writes: InnoDB is read-only"),
    (1877, Unavailable, "a table's file is damaged"),
    (1878, Unavailable, "the server cannot write a temporary file"),
    (1927, Unavailable, "the connection was killed at the server"),
    (1932, MissingObject, "a table is missing in its storage engine"),
    (1950, Unavailable, "the server's binary log is out of order"),
    (1969, Unavailable, "the statement took longer than it may"),
    (2002, Unavailable, "the server is not there"),
    (2003, Unavailable, "the server is not there"),
    (2006, Unavailable, "the connection was lost"),
    (2013, Unavailable, "the connection was lost"),
    (3000, Unavailable, "a file of the server is damaged"),
    (3003, Unavailable, "a storage engine is not loaded"),
    (3015, Unavailable, "the storage engine is out of memory"),
    (3019, Unavailable, "the server's undo log is full"),
    (3024, Unavailable, "the statement took longer than it may"),
    (3032, Unavailable, "the server is in offline mode"),
    (3044, Unavailable, "the server is out of memory"),
    (3058, Contention, "a deadlock between named locks"),
    (3098, PermissionDenied, "the cluster takes no writes to a table of this form"),
    (3100, Unavailable, "the cluster could not commit"),
    (3101, Contention, "the cluster rolled the transaction back"),
    (3118, Rejected, "the user's account is locked"),
    (3140, InvalidValue, "a text is not JSON"),
    (3159, Rejected, "the server takes encrypted connections only: write ?ssl-mode=required"),
    (3168, Unavailable, "the server is not available"),
    (3169, Unavailable, "the connection was killed at the server"),
    (3186, Unavailable, "the server is out of memory"),
    (3572, Contention, "a lock was not free"),
    (3675, Unavailable, "the server's tablespace is full"),
    (3819, InvalidValue, "a CHECK of the table refuses the row"),
    (4025, InvalidValue, "a CHECK of the table refuses the row"),
    (4031, Unavailable, "the server closed the idle connection"),
    (4139, Unavailable, "an index's file is full"),
    (4150, Rejected, "the server blocks the user after too many failed connections"),
    (4151, Rejected, "the user's account is locked"),
    (4182, Unavailable, "a storage engine is disabled"),
];

/// The meaning of an error and our words for it.
pub(super) fn judge(number: u16, state: Option<&str>) -> (ErrorKind, &'static str) {
    // SIGNAL sets number and text as it likes, but whoever writes 45000 speaks for himself.
    if state.is_some_and(|state| state.starts_with("45")) {
        return (InvalidValue, "a trigger or routine of the database refuses the row");
    }
    if let Ok(place) = ERRORS.binary_search_by_key(&number, |(number, ..)| *number) {
        let (_, kind, words) = ERRORS[place];
        return (kind, words);
    }
    if (1..1_000).contains(&number) {
        return (Unavailable, "the server failed with its files or memory");
    }
    sqlstate::judge(state.unwrap_or_default())
}

/// The key, table or column that an error is about, from those sentences of the server's that name one.
pub(super) fn object(number: u16, sentence: &str, statement: &str) -> Option<String> {
    match number {
        // "Duplicate entry 'VALUE' for key 'NAME'": the name is the last thing in it.
        1062 | 1586 => identifier(last_quoted(sentence, "for key '", "'")?),
        // "CONSTRAINT `NAME` failed for `DATABASE`.`TABLE`" and "Check constraint 'NAME' is violated."
        4025 => identifier(super::names::between(sentence, "CONSTRAINT `", "` failed for ")?),
        3819 => identifier(super::names::between(sentence, "Check constraint '", "' is violated")?),
        1048 => named_in(statement, super::names::between(sentence, "Column '", "'")?),
        1364 => named_in(statement, super::names::between(sentence, "Field '", "'")?),
        1054 => named_in(statement, super::names::between(sentence, "Unknown column '", "' in ")?),
        1146 => named_in(statement, super::names::between(sentence, "Table '", "' doesn't exist")?),
        1142 => named_in(statement, &last_after(sentence, " for table ")?),
        // "... for column 'NAME' at row N", or `DATABASE`.`TABLE`.`NAME`.
        1264 | 1265 | 1292 | 1366 | 1406 => {
            named_in(statement, last_after(sentence, "for column ")?.split(" at row").next()?)
        }
        _ => None,
    }
}

/// What is between the last `before` and `after`, which ends the sentence.
fn last_quoted<'text>(sentence: &'text str, before: &str, after: &str) -> Option<&'text str> {
    sentence.strip_suffix(after)?.rsplit_once(before).map(|(_, name)| name)
}

/// What follows the last `marker`, without quotes.
fn last_after(sentence: &str, marker: &str) -> Option<String> {
    let (_, rest) = sentence.rsplit_once(marker)?;
    Some(rest.replace(['\'', '`'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_a_message_for_each_code() {
        assert!(ERRORS.is_sorted_by(|(left, ..), (right, ..)| left < right));
        for (number, kind, words) in ERRORS {
            assert!(!words.is_empty() && !words.ends_with('.'), "{number}");
            assert_eq!(judge(*number, Some("HY000")), (*kind, *words), "{number}");
        }
    }

    /// What speaks of the server must cost no patient an attempt, and what speaks of a row must not open the breaker.
    #[test]
    fn each_error_number_maps_to_its_kind() {
        let of = |kind: ErrorKind, numbers: &[u16]| {
            for number in numbers {
                assert_eq!(judge(*number, None).0, kind, "{number}");
            }
        };
        of(Unavailable, &[1021, 1114, 1026, 1028, 1030, 1878, 3675, 3019]); // no room
        of(Unavailable, &[1037, 1038, 1041, 1135, 1206, 5]); // no memory
        of(Unavailable, &[1040, 1203, 1226, 1637]); // too many
        of(Unavailable, &[1053, 1158, 1159, 1160, 1161, 1317, 1927, 1969, 2006, 2013, 3024, 3168, 4031]); // gone
        of(Unavailable, &[1034, 1194, 1712, 3, 28, 126]); // damaged, or a file's own error
        of(PermissionDenied, &[1142, 1143, 1227, 1290, 1370, 1792, 1836, 1874]);
        of(Rejected, &[1044, 1045, 1049, 1130, 1251, 1524, 1698, 1820, 3118, 3159]);
        of(Contention, &[1205, 1213, 1020, 3572, 3101]);
        of(DuplicateKey, &[1022, 1062, 1169, 1586]);
        of(InvalidValue, &[1048, 1264, 1265, 1292, 1364, 1366, 1406, 1452, 1644, 3819, 4025, 1153]);
        of(MissingObject, &[1051, 1054, 1146, 1449]);
    }

    /// Numbers of MariaDB whose text has one of [`SERVER_WORDS`], and which are no state of the server that a SELECT,
    /// INSERT, UPDATE or DELETE can meet: they speak of replication, of partitions, of definitions, or of a statement
    /// that the host refuses.
    #[rustfmt::skip]
    const LOOKED_AT: &[u16] = &[
        1069, 1070, 1097, 1116, 1117, 1186, 1224, 1236, 1244, 1256, 1258, 1259, 1289, 1315, 1316, 1373,
        1374, 1375, 1381, 1387, 1417, 1418, 1419, 1499, 1518, 1536, 1544, 1559, 1560, 1577, 1587, 1592, 1609,
        1610, 1620, 1621, 1639, 1651, 1655, 1664, 1666, 1679, 1685, 1686, 1703, 1704, 1730, 1738, 1745,
        1789, 1802, 1844, 1866, 1869, 1924, 1925, 1945, 1947, 1948, 1951, 1955, 1956, 3001, 3023, 3025, 4003,
        4034, 4056, 4058, 4069, 4088, 4133, 4166, 4185,
    ];
    const SERVER_WORDS: &[&str] = &[
        "disk",
        "memory",
        "shutdown",
        "timeout",
        "timed out",
        "deadlock",
        "corrupt",
        "too many",
        " is full",
        "crashed",
        "killed",
        "blocked",
        "read-only",
        "read only",
        "aborted",
        "write to binary log",
        "binlog",
        "binary log",
        "not loaded",
        "disabled",
        "i/o error",
        "auto-increment value",
    ];

    /// Against the list of the server that the tests install: `perror` prints it.
    #[test]
    fn every_mariadb_error_about_the_server_is_in_the_table() {
        let numbers = (1_000..5_000).map(|number: u16| number.to_string());
        let Ok(output) = std::process::Command::new("perror").args(numbers).output() else {
            assert!(std::env::var_os("CI").is_none(), "perror of MariaDB is not installed");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let listed = text.lines().filter_map(|line| line.strip_prefix("MariaDB error code ")?.split_once(' '));
        let listed: Vec<_> = listed.filter_map(|(number, text)| Some((number.parse().ok()?, text))).collect();
        if listed.is_empty() {
            return; // the perror of MySQL, which has other numbers
        }
        assert!(listed.len() > 1_000, "perror printed {} errors", listed.len());
        for (number, text) in listed {
            let message = text.split_once("): ").map_or(text, |(_, message)| message).to_lowercase();
            let speaks_of_the_server = SERVER_WORDS.iter().any(|word| message.contains(word));
            let is_known = ERRORS.binary_search_by_key(&number, |(known, ..)| *known).is_ok();
            assert!(is_known || !speaks_of_the_server || LOOKED_AT.contains(&number), "{number} {text}");
        }
    }

    #[test]
    fn an_unlisted_number_is_classified_by_its_sqlstate() {
        for (number, state, kind) in [
            (30_001, Some("45000"), InvalidValue),
            (1205, Some("45000"), InvalidValue), // SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1205
            (9_999, Some("08S01"), Unavailable),
            (9_999, Some("22003"), InvalidValue),
            (9_999, Some("23000"), InvalidValue),
            (9_999, Some("40001"), Contention),
            (9_999, Some("42S02"), MissingObject),
            (9_999, Some("70100"), Unavailable),
            (9_999, Some("HY001"), Unavailable),
            (9_999, Some("HY000"), Other),
            (9_999, None, Other),
        ] {
            assert_eq!(judge(number, state).0, kind, "{number} {state:?}");
        }
    }

    #[test]
    fn the_object_of_an_error_is_a_key_or_column_and_never_a_value() {
        let insert = "INSERT INTO patient_data (fname, lname, DOB) VALUES (?, ?, ?)";
        for (number, sentence, expected) in [
            (1062, "Duplicate entry 'a' for key 'patient_data.pid'", Some("patient_data.pid")),
            (1062, "Duplicate entry 'x' for key 'Kim' for key 'pid'", Some("pid")),
            (1062, "Duplicate entry 'O'Brien' for key 'pid'", Some("pid")),
            (1062, "Duplicate entry 'O'Brien", None),
            (1292, "Incorrect date value: 'O'Brien' for column `t`.`patient_data`.`DOB` at row 1", Some("DOB")),
            (1062, "Duplicate entry for key 'Kim MinJun'", None),
            (1062, "born 1980-03-15 for key 'pid' and more", None),
            (1406, "Data too long for column 'fname' at row 3", Some("fname")),
            (1406, "Data too long for column 'Kim' at row 3", None),
            (1048, "Column 'lname' cannot be null", Some("lname")),
            (1292, "Incorrect date value: 'for column x' for column `t`.`patient_data`.`DOB` at row 1", Some("DOB")),
            (1146, "Table 'openemr.patient_data' doesn't exist", Some("patient_data")),
            (1146, "Table 'openemr.kim' doesn't exist", None),
            (1142, "INSERT command denied to user 'h'@'x' for table `openemr`.`patient_data`", Some("patient_data")),
            (1142, "INSERT command denied to user 'h'@'x' for table 'patient_data'", Some("patient_data")),
            (4025, "CONSTRAINT `adult` failed for `t`.`patient_data`", Some("adult")),
            (1644, "for column 'fname' at row 1", None),
        ] {
            assert_eq!(object(number, sentence, insert).as_deref(), expected, "{sentence}");
        }
    }
}
