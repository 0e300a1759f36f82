//! Rows of PostgreSQL as neutral values: every type and every value that a server can send is readable.
//!
//! What has no case of its own (arrays, ranges, intervals, addresses, types of extensions), and the values that only
//! PostgreSQL has (`infinity`, years before Christ, `NaN`), are queried again in the server's text form: see
//! [`as_text`]. No value of a row may cause a panic or an error here.

use sqlx::postgres::{PgColumn, PgRow, PgTypeKind};
use sqlx::types::Uuid;
use sqlx::types::chrono::{NaiveDate, NaiveTime};
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};

use super::{DatabaseError, Value};

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The values of one row; `None` when one of them has to be asked for as text.
pub(super) fn values(row: &PgRow) -> Result<Option<Vec<Value>>, DatabaseError> {
    let mut values = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let raw = row.try_get_raw(index).map_err(|error| DatabaseError::from_sqlx(&error))?;
        if raw.is_null() {
            values.push(Value::Null);
            continue;
        }
        let bytes = raw.as_bytes().map_err(|_| DatabaseError::new(super::ErrorKind::Other, "a value has no bytes"))?;
        let Some(value) = value(row, index, bytes) else { return Ok(None) };
        values.push(value);
    }
    Ok(Some(values))
}

fn value(row: &PgRow, index: usize, bytes: &[u8]) -> Option<Value> {
    let kind = row.columns()[index].type_info();
    if matches!(kind.kind(), PgTypeKind::Enum(_)) {
        return Some(text(bytes));
    }
    match kind.name() {
        "BOOL" => row.try_get(index).ok().map(Value::Bool),
        "INT2" => row.try_get::<i16, _>(index).ok().map(|number| Value::I64(i64::from(number))),
        "INT4" => row.try_get::<i32, _>(index).ok().map(|number| Value::I64(i64::from(number))),
        "INT8" => row.try_get(index).ok().map(Value::I64),
        "FLOAT4" => row.try_get::<f32, _>(index).ok().map(|number| Value::F64(f64::from(number))),
        "FLOAT8" => row.try_get(index).ok().map(Value::F64),
        "NUMERIC" => numeric(bytes),
        "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "UNKNOWN" | "CITEXT" | "citext" => Some(text(bytes)),
        "BYTEA" => Some(Value::Bytes(bytes.to_vec())),
        "UUID" => row.try_get::<Uuid, _>(index).ok().map(|uuid| Value::Text(uuid.to_string())),
        "JSON" => Some(json(bytes)),
        // A byte before the text is its version.
        "JSONB" => bytes.split_first().map(|(_, text)| json(text)),
        "DATE" => date(i32::from_be_bytes(bytes.try_into().ok()?)),
        "TIMESTAMP" | "TIMESTAMPTZ" => timestamp(i64::from_be_bytes(bytes.try_into().ok()?)),
        "TIME" => time(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// A database in the encoding `SQL_ASCII` may hold anything.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

fn json(bytes: &[u8]) -> Value {
    match text(bytes) {
        Value::Text(text) => Value::Json(text),
        other => other,
    }
}

/// `digits, weight, sign, scale` of two bytes each, then digits to the base 10,000. The driver's own type forgets the
/// scale and would make `12.5000` of `12.50`.
fn numeric(bytes: &[u8]) -> Option<Value> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (_, weight, sign, scale) = (words.next()?, words.next()?.cast_signed(), words.next()?, words.next()?);
    let (digits, weight) = (words.collect::<Vec<u16>>(), i32::from(weight));
    let group = |place: i32| usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(0);
    let mut text = match sign {
        0x0000 => String::new(),
        0x4000 => "-".to_owned(),
        // Not a number, or infinite.
        _ => return None,
    };
    text.push_str(&if weight < 0 { 0 } else { group(0) }.to_string());
    text.extend((1..=weight).map(|place| format!("{:04}", group(place))));
    if scale > 0 {
        let fraction: Vec<_> =
            (1..=i32::from(scale.div_ceil(4))).map(|place| format!("{:04}", group(weight + place))).collect();
        let fraction = fraction.concat();
        text.push('.');
        text.push_str(fraction.get(..usize::from(scale))?);
    }
    Some(Value::Decimal(text))
}

/// Days since 2000-01-01; years from 1 to 9999.
fn date(days: i32) -> Option<Value> {
    day(days.into()).map(|day| Value::Date(day.to_string()))
}

fn day(days: i64) -> Option<NaiveDate> {
    /// Days from 0001-01-01, which is day 1, to 2000-01-01.
    const BEFORE_2000: i64 = 730_120;
    let day = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days.checked_add(BEFORE_2000)?).ok()?)?;
    (NaiveDate::from_ymd_opt(1, 1, 1)?..=NaiveDate::from_ymd_opt(9999, 12, 31)?).contains(&day).then_some(day)
}

/// Microseconds since 2000-01-01.
fn timestamp(micros: i64) -> Option<Value> {
    let time = day(micros.div_euclid(MICROS_A_DAY))?.and_time(time_of_day(micros.rem_euclid(MICROS_A_DAY))?);
    Some(Value::DateTime(time.format("%Y-%m-%d %H:%M:%S%.f").to_string()))
}

/// Microseconds of the day; PostgreSQL also has 24:00:00.
fn time(micros: i64) -> Option<Value> {
    time_of_day(micros).map(|time| Value::Time(time.to_string()))
}

fn time_of_day(micros: i64) -> Option<NaiveTime> {
    let seconds = u32::try_from(micros / 1_000_000).ok()?;
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).ok()?;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)
}

/// The same query, with every column whose values may have no case of their own cast to text by the server; `None` for
/// what is no query.
pub(super) fn as_text(query: &str, columns: &[PgColumn]) -> Option<String> {
    let first = query.trim_start().get(..4)?.to_ascii_lowercase();
    if !matches!(&*first, "sele" | "with" | "valu") {
        return None;
    }
    let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
    let wanted = names.iter().zip(columns).map(|(name, column)| match column.type_info().name() {
        "BOOL" | "INT2" | "INT4" | "INT8" | "FLOAT4" | "FLOAT8" | "BYTEA" | "UUID" | "JSON" | "JSONB" | "TEXT"
        | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "CITEXT" | "citext" => name.clone(),
        _ => format!("CAST({name} AS text)"),
    });
    let wanted: Vec<String> = wanted.collect();
    Some(format!("SELECT {} FROM ({query}) AS asked ({})", wanted.join(", "), names.join(", ")))
}

/// Reads a row of [`as_text`] as what its columns were.
pub(super) fn values_of_text(row: &PgRow, columns: &[PgColumn]) -> Result<Vec<Value>, DatabaseError> {
    let values = values(row)?.ok_or_else(|| {
        DatabaseError::new(super::ErrorKind::Other, "a value cannot be read, not even as the server's text")
    })?;
    let kinds = columns.iter().map(sqlx::Column::type_info);
    Ok(values.into_iter().zip(kinds).map(|(value, kind)| of_text(value, kind.name(), kind.kind())).collect())
}

fn of_text(value: Value, name: &str, kind: &PgTypeKind) -> Value {
    let Value::Text(text) = value else { return value };
    if matches!(kind, PgTypeKind::Enum(_)) {
        return Value::Text(text);
    }
    let is_plain = |length: usize| {
        text.len() >= length
            && text.bytes().enumerate().all(|(place, byte)| match (length, place) {
                (10 | 19, 4 | 7) => byte == b'-',
                (19, 10) => byte == b' ',
                (19, 13 | 16) | (8, 2 | 5) => byte == b':',
                (_, place) if place >= length => byte.is_ascii_digit() || (place == length && byte == b'.'),
                _ => byte.is_ascii_digit(),
            })
    };
    match name {
        "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "UNKNOWN" | "CITEXT" | "citext" | "UUID" => Value::Text(text),
        "NUMERIC" if text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) => {
            Value::Decimal(text)
        }
        "DATE" if text.len() == 10 && is_plain(10) => Value::Date(text),
        "TIMESTAMP" if is_plain(19) => Value::DateTime(text),
        // The session's zone is UTC.
        "TIMESTAMPTZ" => {
            match text.strip_suffix("+00").map(|utc| of_text(Value::Text(utc.to_owned()), "TIMESTAMP", kind)) {
                Some(Value::DateTime(utc)) => Value::DateTime(utc),
                _ => Value::Other(text),
            }
        }
        "TIME" if is_plain(8) && !text.starts_with("24") => Value::Time(text),
        _ => Value::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_years_1_to_9999_are_decoded_and_others_are_read_as_text() {
        for (days, expected) in [
            (0, Some("2000-01-01")),
            (-7_231, Some("1980-03-15")),
            (-730_119, Some("0001-01-01")),
            (-730_120, None),
            (2_921_939, Some("9999-12-31")),
            (2_921_940, None),
            (i32::MAX, None),
            (i32::MIN, None),
        ] {
            assert!(date(days) == expected.map(|text| Value::Date(text.to_owned())), "{days}");
        }
        for micros in [i64::MAX, i64::MIN] {
            assert!(timestamp(micros).is_none() && time(micros).is_none());
        }
        assert!(timestamp(-1) == Some(Value::DateTime("1999-12-31 23:59:59.999999".to_owned())));
        assert!(time(MICROS_A_DAY - 1) == Some(Value::Time("23:59:59.999999".to_owned())));
        assert!(time(MICROS_A_DAY).is_none());
    }

    #[test]
    fn a_decimal_keeps_its_digits_and_scale() {
        // Digits, weight, sign, scale; then groups of four digits.
        for (words, expected) in [
            (&[2, 0, 0, 2, 12, 5_000][..], Some("12.50")),
            (&[1, 0, 0x4000, 0, 1], Some("-1")),
            (&[0, 0, 0, 3], Some("0.000")),
            (&[1, 0xFFFE, 0, 8, 1], Some("0.00000001")),
            (&[1, 2, 0, 0, 1], Some("100000000")),
            (&[3, 1, 0, 1, 1, 23, 4_000], Some("10023.4")),
            (&[0, 0, 0xC000, 0], None),
            (&[0, 0, 0xD000, 0], None),
        ] {
            let bytes: Vec<u8> = words.iter().flat_map(|word: &u16| word.to_be_bytes()).collect();
            assert!(numeric(&bytes) == expected.map(|text| Value::Decimal(text.to_owned())), "{words:x?}");
        }
    }

    #[test]
    fn text_results_are_converted_by_column_type() {
        let date = |text: &str| Value::Date(text.to_owned());
        let other = |text: &str| Value::Other(text.to_owned());
        for (text, name, expected) in [
            ("1980-03-15", "DATE", date("1980-03-15")),
            ("infinity", "DATE", other("infinity")),
            ("0044-03-15 BC", "DATE", other("0044-03-15 BC")),
            ("1980-03-15 01:02:03.5", "TIMESTAMP", Value::DateTime("1980-03-15 01:02:03.5".to_owned())),
            ("1980-03-15 01:02:03+00", "TIMESTAMPTZ", Value::DateTime("1980-03-15 01:02:03".to_owned())),
            ("-infinity", "TIMESTAMPTZ", other("-infinity")),
            ("0044-03-15 01:02:03 BC", "TIMESTAMP", other("0044-03-15 01:02:03 BC")),
            ("24:00:00", "TIME", other("24:00:00")),
            ("01:02:03", "TIME", Value::Time("01:02:03".to_owned())),
            ("-12.50", "NUMERIC", Value::Decimal("-12.50".to_owned())),
            ("NaN", "NUMERIC", other("NaN")),
            ("{1,2}", "INT4[]", other("{1,2}")),
            ("x", "TEXT", Value::Text("x".to_owned())),
            (
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "UUID",
                Value::Text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_owned()),
            ),
        ] {
            assert!(of_text(Value::Text(text.to_owned()), name, &PgTypeKind::Simple) == expected, "{text} as {name}");
        }
        assert!(of_text(Value::Null, "DATE", &PgTypeKind::Simple) == Value::Null);
    }
}
