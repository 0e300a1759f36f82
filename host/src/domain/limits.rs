//! What one call into an adapter may take of everything: each limit with its default and its range, declared once.
//!
//! `[targets.NAME.limits]` sets them (`config`), `plugin` enforces them, and `docs/configuration.md` lists them; a test
//! compares.

use std::ops::RangeInclusive;

/// One mebibyte.
const MIB: u64 = 1 << 20;

/// How long one HTTP request of a target may take unless it is set, milliseconds.
pub const HTTP_TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// A limit's name in the configuration, what it is unless it is set, and what it may be set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// As in `[targets.NAME.limits]`.
    pub name: &'static str,
    /// Unless it is set.
    pub default: u64,
    /// What it may be.
    pub range: RangeInclusive<u64>,
}

macro_rules! limits {
    ( $( $(#[$doc:meta])* $name:ident: $default:expr, $range:expr; )+ ) => {
        /// The limits of one call into an adapter.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $( $(#[$doc])* pub $name: u64, )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $name: $default, )+ }
            }
        }

        impl Limits {
            /// Every limit, in the order of the documentation.
            #[must_use]
            pub fn all() -> Vec<Limit> {
                vec![ $( Limit { name: stringify!($name), default: $default, range: $range }, )+ ]
            }

            /// The limits, each asked for by name.
            pub fn from_each(mut value: impl FnMut(&Limit) -> u64) -> Self {
                Self { $( $name: value(&Limit { name: stringify!($name), default: $default, range: $range }), )+ }
            }
        }

        /// The names of all limits, so that an error names what to raise.
        pub const NAMES: &[&str] = &[ $( stringify!($name), )+ ];
    };
}

limits! {
    /// Memory of all linear memories of a call together, MiB.
    memory_mib: 64, 1..=4_096;
    /// Wall clock of a call, waiting included, milliseconds.
    deadline_ms: 30_000, 100..=3_600_000;
    /// Time that the adapter itself computes, milliseconds (counted in steps of 10).
    cpu_ms: 10_000, 10..=3_600_000;
    /// Rows that one query may give.
    query_rows_max: 10_000, 1..=1_000_000;
    /// Bytes of all values that one query may give.
    query_bytes_max: 16 * MIB, 1_024..=1_024 * MIB;
    /// Bytes that one call from the adapter into the host, or the adapter's answer, may carry.
    host_call_bytes_max: 16 * MIB, 1_024..=1_024 * MIB;
    /// Calls from the adapter into the host.
    host_calls_max: 50_000, 1..=10_000_000;
    /// Bytes of one HTTP request's body.
    http_request_bytes_max: 32 * MIB, 1_024..=1_024 * MIB;
    /// Bytes of one HTTP response's body, unpacked.
    http_response_bytes_max: 32 * MIB, 1_024..=1_024 * MIB;
    /// Headers of one HTTP request or response.
    http_headers_max: 100, 1..=1_000;
    /// Bytes of all headers of one HTTP request or response, names and values.
    http_header_bytes_max: 65_536, 1_024..=131_072;
    /// HTTP requests that wait for an answer, or whose answer is still being read, at one time.
    http_requests_in_flight_max: 8, 1..=256;
    /// Log lines of a call.
    log_lines_max: 1_000, 0..=1_000_000;
    /// Bytes of all log lines of a call.
    log_bytes_max: MIB, 1_024..=1_024 * MIB;
    /// Bytes of one log line; the rest is cut off.
    log_line_bytes_max: 4_096, 64..=65_536;
    /// Entries of all tables of a call together: functions that are called by pointer.
    table_elements_max: 100_000, 1_000..=1_000_000;
    /// Handles at a time: the transaction, requests, streams, headers.
    handles_max: 10_000, 10..=1_000_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_range() {
        for Limit { name, default, range } in Limits::all() {
            assert!(range.contains(&default), "{name}");
        }
        assert_eq!(Limits::from_each(|limit| limit.default), Limits::default());
        assert_eq!(Limits::all().len(), NAMES.len());
    }
}
