//! The table of MySQL's and MariaDB's errors.

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

/// MySQL 8's own numbers, with the names of its list of errors: those that a SELECT, INSERT, UPDATE, DELETE or COMMIT,
/// or connecting, can meet, and that speak of the server, of the cluster or of its users. MariaDB has none of them.
const MYSQL_8: &[(ErrorKind, &[(u16, &str)])] = &[
    (
        Unavailable,
        &[
            (3000, "ER_FILE_CORRUPT"),
            (3003, "ER_STORAGE_ENGINE_NOT_LOADED"),
            (3015, "ER_ENGINE_OUT_OF_MEMORY"),
            (3019, "ER_INNODB_UNDO_LOG_FULL"),
            (3024, "ER_QUERY_TIMEOUT"),
            (3032, "ER_SERVER_OFFLINE_MODE"),
            (3044, "ER_STD_BAD_ALLOC_ERROR"),
            (3096, "ER_GROUP_REPLICATION_COMMUNICATION_LAYER_SESSION_ERROR"),
            (3097, "ER_GROUP_REPLICATION_COMMUNICATION_LAYER_JOIN_ERROR"),
            (3100, "ER_RUN_HOOK_ERROR"),
            (3168, "ER_SERVER_ISNT_AVAILABLE"),
            (3169, "ER_SESSION_WAS_KILLED"),
            (3170, "ER_CAPACITY_EXCEEDED"),
            (3185, "ER_CANNOT_FIND_KEY_IN_KEYRING"),
            (3186, "ER_CAPACITY_EXCEEDED_IN_PARSER"),
            (3510, "ER_TABLESPACE_MISSING_WITH_NAME"),
            (3512, "ER_SP_LOAD_FAILED"),
            (3547, "ER_CANNOT_LOCK_USER_MANAGEMENT_CACHES"),
            (3629, "ER_MISSING_TABLESPACE_FILE"),
            (3633, "ER_CLONE_DDL_IN_PROGRESS"),
            (3634, "ER_CLONE_TOO_MANY_CONCURRENT_CLONES"),
            (3656, "ER_RESOURCE_GROUP_BUSY"),
            (3657, "ER_RESOURCE_GROUP_DISABLED"),
            (3661, "ER_RESOURCE_GROUP_BIND_FAILED"),
            (3675, "ER_DISK_FULL_NOWAIT"),
            (3781, "ER_GR_HOLD_WAIT_TIMEOUT"),
            (3782, "ER_GR_HOLD_KILLED"),
            (3783, "ER_GR_HOLD_MEMBER_STATUS_ERROR"),
            (3784, "ER_RPL_ENCRYPTION_FAILED_TO_FETCH_KEY"),
            (3785, "ER_RPL_ENCRYPTION_KEY_NOT_FOUND"),
            (3786, "ER_RPL_ENCRYPTION_KEYRING_INVALID_KEY"),
            (3787, "ER_RPL_ENCRYPTION_HEADER_ERROR"),
            (3790, "ER_RPL_ENCRYPTION_FAILED_TO_GENERATE_KEY"),
            (3791, "ER_RPL_ENCRYPTION_FAILED_TO_STORE_KEY"),
            (3794, "ER_RPL_ENCRYPTION_MASTER_KEY_RECOVERY_FAILED"),
            (3796, "ER_GRP_TRX_CONSISTENCY_NOT_ALLOWED"),
            (3797, "ER_GRP_TRX_CONSISTENCY_BEFORE"),
            (3798, "ER_GRP_TRX_CONSISTENCY_AFTER_ON_TRX_BEGIN"),
            (3799, "ER_GRP_TRX_CONSISTENCY_BEGIN_NOT_ALLOWED"),
            (3801, "ER_RPL_ENCRYPTION_FAILED_TO_ENCRYPT"),
            (3874, "ER_CLONE_IN_PROGRESS"),
            (3875, "ER_CLONE_DISALLOWED"),
            (3877, "ER_SECONDARY_ENGINE_PLUGIN"),
            (3884, "ER_NO_SESSION_TEMP"),
            (3889, "ER_SECONDARY_ENGINE"),
            (3950, "ER_DA_OOM"),
            (3985, "ER_MDL_OUT_OF_RESOURCES"),
            (4031, "ER_CLIENT_INTERACTION_TIMEOUT"),
        ],
    ),
    (
        Contention,
        &[
            (3058, "ER_USER_LOCK_DEADLOCK"),
            (3101, "ER_TRANSACTION_ROLLBACK_DURING_COMMIT"),
            (3132, "ER_LOCKING_SERVICE_DEADLOCK"),
            (3133, "ER_LOCKING_SERVICE_TIMEOUT"),
            (3177, "ER_LOCK_REFUSED_BY_ENGINE"),
            (3572, "ER_LOCK_NOWAIT"),
        ],
    ),
    (
        PermissionDenied,
        &[(3098, "ER_BEFORE_DML_VALIDATION_ERROR"), (3164, "ER_AUDIT_API_ABORT"), (3989, "ER_SCHEMA_READ_ONLY")],
    ),
    (
        Rejected,
        &[
            (3118, "ER_ACCOUNT_HAS_BEEN_LOCKED"),
            (3159, "ER_SECURE_TRANSPORT_REQUIRED"),
            (3879, "ER_DB_ACCESS_DENIED"),
            (3955, "ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK"),
        ],
    ),
    (MissingObject, &[(3651, "ER_RESOURCE_GROUP_NOT_EXISTS")]),
    (
        InvalidValue,
        &[
            (3140, "ER_INVALID_JSON_TEXT"),
            (3231, "ER_WRITE_SET_EXCEEDS_LIMIT"),
            (3819, "ER_CHECK_CONSTRAINT_VIOLATED"),
            (3905, "ER_EXCEEDED_MV_KEYS_NUM"),
            (3906, "ER_EXCEEDED_MV_KEYS_SPACE"),
        ],
    ),
];

#[test]
fn each_mysql_8_error_about_the_server_maps_to_its_kind() {
    let mut numbers = Vec::new();
    for (kind, errors) in MYSQL_8 {
        for (number, name) in *errors {
            assert_eq!(judge(*number, Some("HY000")).0, *kind, "{number} {name}");
            numbers.push(*number);
        }
    }
    let unlisted: Vec<u16> =
        ERRORS.iter().map(|(number, ..)| *number).filter(|number| (3_000..4_000).contains(number)).collect();
    numbers.retain(|number| *number < 4_000);
    numbers.sort_unstable();
    assert_eq!(unlisted, numbers, "each of the table is listed here");
    let closed = "Connection closed. Connection memory limit 2097152 bytes exceeded. Consumed 2456976 bytes.";
    assert_eq!(read((4082, Some("HY000")), closed, "").0, Unavailable);
    assert_eq!(read((4082, Some("HY000")), "Row variable 'a' does not have a field 'b'", "").0, Other);
}

#[test]
fn an_error_inside_a_trigger_is_not_reported_as_the_statements_own() {
    let insert = "INSERT INTO `patient_data` (fname, lname) VALUES (?, ?)";
    let table = Some("patient_data");
    for (number, state, sentence, kind, object, words) in [
        (1146, "42S02", "Table 'openemr.audit' doesn't exist", Routine, table, "a trigger or routine"),
        (1146, "42S02", "Table 'openemr.patient_data' doesn't exist", MissingObject, table, "a table is missing"),
        (1054, "42S22", "Unknown column 'x' in 'NEW'", Routine, table, "a trigger or routine"),
        (1054, "42S22", "Unknown column 'fname' in 'field list'", MissingObject, Some("fname"), "a column is missing"),
        (1142, "42000", "INSERT command denied to user 'h'@'x' for table 'audit'", Routine, table, "a trigger"),
        (1305, "42000", "FUNCTION openemr.f does not exist", Routine, table, "a trigger or routine"),
        (1449, "HY000", "The user specified as a definer ('a'@'b') does not exist", Routine, table, "a trigger"),
        (1062, "23000", "Kim MinJun", InvalidValue, table, REFUSED_BY_ROUTINE),
        (1062, "45000", "Kim MinJun", InvalidValue, table, REFUSED_BY_ROUTINE),
        (1062, "23000", "Duplicate entry '7' for key 'pid'", DuplicateKey, Some("pid"), "a unique key"),
        (
            1406,
            "22001",
            "Data too long for column 'note' at row 1",
            InvalidValue,
            table,
            "a value does not fit a column that",
        ),
        (
            1406,
            "22001",
            "Data too long for column 'fname' at row 1",
            InvalidValue,
            Some("fname"),
            "a value is too long",
        ),
        (1644, "45000", "Kim MinJun", InvalidValue, table, REFUSED_BY_ROUTINE),
    ] {
        let (found, said, about) = read((number, Some(state)), sentence, insert);
        assert_eq!((found, about.as_deref()), (kind, object), "{number} {sentence}");
        assert!(said.starts_with(words), "{number} {sentence}: {said}");
    }
    // A SELECT runs no trigger: its own words are meant.
    let select = read((1146, Some("42S02")), "Table 'openemr.kim' doesn't exist", "SELECT fname FROM patient_data");
    assert_eq!(select.0, MissingObject);
}
