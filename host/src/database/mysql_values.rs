//! Rows of MySQL and MariaDB as neutral values: every type and every value that a server can send is readable.
//!
//! Values that the driver's decoders refuse (partial dates such as 1980-00-00) are read from the protocol's bytes. Zero
//! dates become NULL, because they are not dates. No value of a row may cause a panic or an error here.

use sqlx::mysql::MySqlRow;
use sqlx::types::BigDecimal;
use sqlx::{Column as _, MySql, Row as _, TypeInfo as _, ValueRef as _};

use super::{DatabaseError, Value};

/// The values of one row.
pub(super) fn values(row: &MySqlRow) -> Result<Vec<Value>, DatabaseError> {
    (0..row.len()).map(|index| value(row, index)).collect()
}

fn value(row: &MySqlRow, index: usize) -> Result<Value, DatabaseError> {
    let raw = row.try_get_raw(index).map_err(|error| DatabaseError::from_sqlx(&error))?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = row.columns()[index].type_info();
    let is_unsigned = <u64 as sqlx::Type<MySql>>::compatible(kind);
    let value = match kind.name() {
        // TINYINT(1) is called BOOLEAN, whether it has a sign or not.
        "BOOLEAN" if is_unsigned => row.try_get_unchecked(index).map(Value::U64),
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            row.try_get_unchecked(index).map(Value::I64)
        }
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
        | "YEAR" | "BIT" => row.try_get_unchecked(index).map(Value::U64),
        "FLOAT" => row.try_get_unchecked::<f32, _>(index).map(|number| Value::F64(f64::from(number))),
        "DOUBLE" => row.try_get_unchecked(index).map(Value::F64),
        "DECIMAL" => {
            row.try_get_unchecked::<BigDecimal, _>(index).map(|number| Value::Decimal(number.to_plain_string()))
        }
        // The name has "binary" for text with a binary collation, too; only the collation tells them apart.
        "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "BINARY"
        | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
            if <str as sqlx::Type<MySql>>::compatible(kind) {
                row.try_get_unchecked(index).map(Value::Text)
            } else {
                row.try_get_unchecked(index).map(Value::Bytes)
            }
        }
        "JSON" => row.try_get_unchecked(index).map(Value::Json),
        "DATE" => return bytes(row, index).map(date),
        "DATETIME" | "TIMESTAMP" => return bytes(row, index).map(datetime),
        "TIME" => return bytes(row, index).map(time),
        // GEOMETRY, VECTOR and whatever comes: as it is.
        _ => return bytes(row, index).map(|bytes| Value::Bytes(bytes.to_vec())),
    };
    value.or_else(|_| bytes(row, index).map(text_or_bytes))
}

fn bytes(row: &MySqlRow, index: usize) -> Result<&[u8], DatabaseError> {
    row.try_get_unchecked(index).map_err(|error| DatabaseError::from_sqlx(&error))
}

fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Other(text.to_owned()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

/// `length, year (2), month, day`.
fn date(bytes: &[u8]) -> Value {
    let [_, low, high, month, day, ..] = *bytes else { return text_or_bytes(bytes) };
    let year = u16::from_le_bytes([low, high]);
    let text = format!("{year:04}-{month:02}-{day:02}");
    if is_day(year, month, day) { Value::Date(text) } else { Value::Other(text) }
}

/// As [`date`], then `hour, minute, second` and `microseconds (4)`, which are left out where they are zero.
fn datetime(bytes: &[u8]) -> Value {
    let [_, low, high, month, day, ref time @ ..] = *bytes else { return text_or_bytes(bytes) };
    let year = u16::from_le_bytes([low, high]);
    let (hour, minute, second, micros) = match *time {
        [hour, minute, second, a, b, c, d] => (hour, minute, second, u32::from_le_bytes([a, b, c, d])),
        [hour, minute, second] => (hour, minute, second, 0),
        _ => (0, 0, 0, 0),
    };
    let fraction = fraction(micros);
    let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}");
    if is_day(year, month, day) { Value::DateTime(text) } else { Value::Other(text) }
}

/// `length, negative, days (4), hour, minute, second` and `microseconds (4)`: a span of up to 838 hours.
fn time(bytes: &[u8]) -> Value {
    let (negative, days, hour, minute, second, micros) = match *bytes {
        [0] => (0, 0, 0, 0, 0, 0),
        [_, negative, d0, d1, d2, d3, hour, minute, second, ref rest @ ..] => {
            let micros = <[u8; 4]>::try_from(rest).map_or(0, u32::from_le_bytes);
            (negative, u32::from_le_bytes([d0, d1, d2, d3]), hour, minute, second, micros)
        }
        _ => return text_or_bytes(bytes),
    };
    let hours = u64::from(days) * 24 + u64::from(hour);
    let sign = if negative == 0 { "" } else { "-" };
    let text = format!("{sign}{hours:02}:{minute:02}:{second:02}{}", fraction(micros));
    if negative == 0 && hours < 24 { Value::Time(text) } else { Value::Other(text) }
}

/// As chrono writes it: nothing, three digits or six.
fn fraction(micros: u32) -> String {
    match micros {
        0 => String::new(),
        _ if micros.is_multiple_of(1_000) => format!(".{:03}", micros / 1_000),
        _ => format!(".{micros:06}"),
    }
}

fn is_day(year: u16, month: u8, day: u8) -> bool {
    sqlx::types::chrono::NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day)).is_some()
        && year > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_are_read_as_days_and_other_temporal_values_as_text() {
        for (bytes, expected) in [
            (&[4, 0xBC, 0x07, 3, 15][..], Value::Date("1980-03-15".into())),
            (&[4, 0xBC, 0x07, 0, 0], Value::Other("1980-00-00".into())),
            (&[4, 0xBC, 0x07, 5, 0], Value::Other("1980-05-00".into())),
            (&[4, 0xBC, 0x07, 2, 31], Value::Other("1980-02-31".into())),
            (&[4, 0, 0, 5, 6], Value::Other("0000-05-06".into())),
            (&[4, 0x0F, 0x27, 12, 31], Value::Date("9999-12-31".into())),
        ] {
            assert!(date(bytes) == expected, "{bytes:?}");
        }
        assert!(datetime(&[4, 0xBC, 0x07, 3, 15]) == Value::DateTime("1980-03-15 00:00:00".into()));
        assert!(datetime(&[7, 0xBC, 0x07, 0, 15, 1, 2, 3]) == Value::Other("1980-00-15 01:02:03".into()));
        let with_micros = [11, 0xBC, 0x07, 3, 15, 23, 59, 59, 0x40, 0xE2, 0x01, 0];
        assert!(datetime(&with_micros) == Value::DateTime("1980-03-15 23:59:59.123456".into()));
    }

    #[test]
    fn a_time_over_24_hours_is_read_as_text() {
        for (bytes, expected) in [
            (&[0][..], Value::Time("00:00:00".into())),
            (&[8, 0, 0, 0, 0, 0, 23, 59, 59], Value::Time("23:59:59".into())),
            (&[8, 0, 34, 0, 0, 0, 22, 59, 59], Value::Other("838:59:59".into())),
            (&[8, 1, 0, 0, 0, 0, 1, 0, 0], Value::Other("-01:00:00".into())),
            (&[12, 0, 0, 0, 0, 0, 1, 2, 3, 0x20, 0xA1, 0x07, 0], Value::Time("01:02:03.500".into())),
        ] {
            assert!(time(bytes) == expected, "{bytes:?}");
        }
    }
}
