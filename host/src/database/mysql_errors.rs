//! The meaning of each error of MySQL and MariaDB, with our own message.
//!
//! The server's own text is never repeated, because SIGNAL lets a trigger write anything there. Only the name of a key,
//! a table or a column is extracted (`names.rs`). A number that is not in the table is classified by its SQLSTATE.
//! Numbers from 1 to 999 are the server's errors with its own files and memory. Numbers from 3,000 to 3,999 are MySQL's
//! alone; from 4,000 on the two servers use the same number for different errors.

use super::ErrorKind::{
    self, Contention, DuplicateKey, InvalidValue, MissingObject, Other, PermissionDenied, Rejected, Routine,
    Unavailable,
};
use super::names::{ROUTINE_LACKS, identifier, is_write, named_in, written_table};
use super::sqlstate::{self, REFUSED_BY_ROUTINE};

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
    (1643, InvalidValue, REFUSED_BY_ROUTINE),
    (1644, InvalidValue, REFUSED_BY_ROUTINE),
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
    (3096, Unavailable, "the cluster does not reach its members"),
    (3097, Unavailable, "the cluster does not reach its members"),
    (3098, PermissionDenied, "the cluster takes no writes to a table of this form"),
    (3100, Unavailable, "the cluster could not commit"),
    (3101, Contention, "the cluster rolled the transaction back"),
    (3118, Rejected, "the user's account is locked"),
    (3132, Contention, "a deadlock between named locks"),
    (3133, Contention, "a named lock was not free in time"),
    (3140, InvalidValue, "a text is not JSON"),
    (3159, Rejected, "the server takes encrypted connections only: write ?ssl-mode=required"),
    (3164, PermissionDenied, "an audit or firewall plugin of the server refuses the statement"),
    (3168, Unavailable, "the server is not available"),
    (3169, Unavailable, "the connection was killed at the server"),
    (3170, Unavailable, "the server is out of the memory that it may use"),
    (3177, Contention, "the storage engine refuses a lock for the moment"),
    (3185, Unavailable, "the server does not find its encryption key"),
    (3186, Unavailable, "the server is out of memory"),
    (3231, InvalidValue, "the transaction is larger than the cluster takes"),
    (3510, Unavailable, "a tablespace is missing"),
    (3512, Unavailable, "the server cannot load a function or procedure"),
    (3547, Unavailable, "the server cannot lock what it knows of its users"),
    (3572, Contention, "a lock was not free"),
    (3629, Unavailable, "a tablespace's file is missing"),
    (3633, Unavailable, "the server is being cloned"),
    (3634, Unavailable, "the server is being cloned"),
    (3651, MissingObject, "a resource group is missing"),
    (3656, Unavailable, "the resource group of the statement is busy"),
    (3657, Unavailable, "the resource group of the statement is disabled"),
    (3661, Unavailable, "the server cannot put the statement into its resource group"),
    (3675, Unavailable, "the server's tablespace is full"),
    (3781, Unavailable, "the cluster is changing its primary"),
    (3782, Unavailable, "the cluster is changing its primary"),
    (3783, Unavailable, "this node left the cluster while its primary changed"),
    (3784, Unavailable, "the server cannot encrypt its binary log"),
    (3785, Unavailable, "the server cannot encrypt its binary log"),
    (3786, Unavailable, "the server cannot encrypt its binary log"),
    (3787, Unavailable, "the server cannot encrypt its binary log"),
    (3790, Unavailable, "the server cannot encrypt its binary log"),
    (3791, Unavailable, "the server cannot encrypt its binary log"),
    (3794, Unavailable, "the server cannot encrypt its binary log"),
    (3796, Unavailable, "the cluster cannot keep the consistency that it is set to"),
    (3797, Unavailable, "the cluster cannot keep the consistency that it is set to"),
    (3798, Unavailable, "the cluster cannot keep the consistency that it is set to"),
    (3799, Unavailable, "the cluster cannot keep the consistency that it is set to"),
    (3801, Unavailable, "the server cannot encrypt its binary log"),
    (3819, InvalidValue, "a CHECK of the table refuses the row"),
    (3874, Unavailable, "the server is being cloned"),
    (3875, Unavailable, "the server is being cloned"),
    (3877, Unavailable, "the secondary storage engine failed"),
    (3879, Rejected, "the user may not use this database"),
    (3884, Unavailable, "the server has no room for temporary tables"),
    (3889, Unavailable, "the secondary storage engine failed"),
    (3905, InvalidValue, "a JSON array has more values than its index takes"),
    (3906, InvalidValue, "a JSON array has more values than its index takes"),
    (3950, Unavailable, "the server is out of memory"),
    (3955, Rejected, "the user's account is locked after too many wrong passwords"),
    (3985, Unavailable, "the server has no memory for more locks"),
    (3989, PermissionDenied, "the database is read-only"),
    (4025, InvalidValue, "a CHECK of the table refuses the row"),
    (4031, Unavailable, "the server closed the idle connection"),
    (4139, Unavailable, "an index's file is full"),
    (4150, Rejected, "the server blocks the user after too many failed connections"),
    (4151, Rejected, "the user's account is locked"),
    (4182, Unavailable, "a storage engine is disabled"),
];

/// The meaning of an error, and our message.
fn judge(number: u16, state: Option<&str>) -> (ErrorKind, &'static str) {
    // SIGNAL can set any number and text, but the state 45000 always comes from a user's routine.
    if state.is_some_and(|state| state.starts_with("45")) {
        return (InvalidValue, REFUSED_BY_ROUTINE);
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

/// What an error of a statement means, our words for it, and the key, table or column that it is about.
pub(super) fn read(
    (number, state): (u16, Option<&str>),
    sentence: &str,
    statement: &str,
) -> (ErrorKind, &'static str, Option<String>) {
    let (kind, words) = judge(number, state);
    // What SIGNAL reports is not the server's own.
    if state.is_some_and(|state| state.starts_with("45")) {
        return (kind, words, written_table(statement));
    }
    // MariaDB has other errors of these numbers, which are a routine's.
    if matches!(number, 4081 | 4082) && sentence.starts_with("Connection closed.") {
        return (Unavailable, "the server closed the connection, which took more memory than it may", None);
    }
    // The server quotes the entry and the key; a trigger that only borrows the number does not.
    if matches!(number, 1062 | 1586) && sentence.matches('\'').count() < 4 {
        return (InvalidValue, REFUSED_BY_ROUTINE, written_table(statement));
    }
    let object = object(number, sentence, statement);
    if object.is_some() || !is_write(statement) {
        return (kind, words, object);
    }
    match number {
        // No statement of an adapter calls a routine, and none names a table or a column that it does not hold.
        1054 | 1142 | 1146 | 1305 | 1370 | 1449 | 1630 => (Routine, ROUTINE_LACKS, written_table(statement)),
        1048 | 1264 | 1265 | 1292 | 1364 | 1366 | 1406 => (
            kind,
            "a value does not fit a column that the statement does not name: a trigger or routine writes it",
            written_table(statement),
        ),
        _ => (kind, words, None),
    }
}

/// The key, table or column that an error is about, from the server's messages that name one.
fn object(number: u16, sentence: &str, statement: &str) -> Option<String> {
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
mod tests;
