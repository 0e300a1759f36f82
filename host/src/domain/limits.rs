//! The limits of one call into an adapter, each declared once with its default and its range.
//!
//! `[targets.NAME.limits]` sets them (`config`), `plugin` enforces them, and `docs/configuration.md` lists them. A test
//! compares that list with this one.

use std::ops::RangeInclusive;

/// One mebibyte in bytes.
const MIB: u64 = 1 << 20;

/// The default time limit of one HTTP request, in milliseconds.
pub const HTTP_TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// The name of a limit in the configuration, its default and its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The key in `[targets.NAME.limits]`.
    pub name: &'static str,
    /// The default.
    pub default: u64,
    /// The allowed values.
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

            /// The value of each limit with its name, in the same order.
            #[must_use]
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![ $( (stringify!($name), self.$name), )+ ]
            }

            /// Builds the limits from a function that returns the value of each.
            pub fn from_each(mut value: impl FnMut(&Limit) -> u64) -> Self {
                Self { $( $name: value(&Limit { name: stringify!($name), default: $default, range: $range }), )+ }
            }
        }

        /// The names of all limits, for errors that name the limit to raise.
        pub const NAMES: &[&str] = &[ $( stringify!($name), )+ ];
    };
}

limits! {
    /// Memory of all linear memories of a call together, in MiB.
    memory_mib: 64, 1..=4_096;
    /// Wall-clock time of a call, including waiting, in milliseconds.
    deadline_ms: 30_000, 100..=3_600_000;
    /// Computing time of the adapter itself, in milliseconds (counted in steps of 10).
    cpu_ms: 10_000, 10..=3_600_000;
    /// Maximum number of rows in the result of one query.
    query_rows_max: 10_000, 1..=1_000_000;
    /// Bytes of all values in the result of one query.
    query_bytes_max: 16 * MIB, 1_024..=1_024 * MIB;
    /// Bytes of one call from the adapter into the host, or of the adapter's response.
    host_call_bytes_max: 16 * MIB, 1_024..=1_024 * MIB;
    /// Number of calls from the adapter into the host.
    host_calls_max: 50_000, 1..=10_000_000;
    /// Bytes of the body of one HTTP request.
    http_request_bytes_max: 32 * MIB, 1_024..=1_024 * MIB;
    /// Bytes of the body of one HTTP response, decompressed.
    http_response_bytes_max: 32 * MIB, 1_024..=1_024 * MIB;
    /// Number of headers of one HTTP request or response.
    http_headers_max: 100, 1..=1_000;
    /// Bytes of all headers of one HTTP request or response, names and values.
    http_header_bytes_max: 65_536, 1_024..=131_072;
    /// Number of concurrent HTTP requests, including those whose response is still being read.
    http_requests_in_flight_max: 8, 1..=256;
    /// Number of log lines of a call.
    log_lines_max: 1_000, 0..=1_000_000;
    /// Bytes of all log lines of a call.
    log_bytes_max: MIB, 1_024..=1_024 * MIB;
    /// Bytes of one log line; the rest is cut off.
    log_line_bytes_max: 4_096, 64..=65_536;
    /// Entries of all tables of a call together. Tables hold functions that are called by pointer.
    table_elements_max: 100_000, 1_000..=1_000_000;
    /// Number of open handles: the transaction, requests, streams, headers.
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
        let defaults: Vec<_> = Limits::all().into_iter().map(|limit| (limit.name, limit.default)).collect();
        assert_eq!(Limits::default().values(), defaults);
        assert_eq!(Limits::all().len(), NAMES.len());
    }
}
