//! `[targets.NAME.limits]`: what one adapter may use up in one call. Everything has a limit.

use super::reader::Reader;

/// One mebibyte.
const MIB: u64 = 1 << 20;

/// The limits of one call into an adapter, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in all, in MiB.
    pub memory_mib: u32,
    /// Time on the wall clock, waiting included.
    pub deadline_ms: u64,
    /// Time in the adapter's own code, waiting excluded.
    pub cpu_ms: u64,
    /// The most changes in one call.
    pub batch: u32,
    /// The most calls at a time for this target.
    pub concurrency: u32,
    /// The most rows that one query may answer.
    pub query_rows_max: u32,
    /// The most bytes that one query may answer.
    pub query_bytes_max: u64,
    /// The most bytes that one call of the host's functions may carry, both ways.
    pub host_call_bytes_max: u64,
    /// The most calls of the host's functions.
    pub host_calls_max: u32,
    /// The most bytes in the body of one HTTP request.
    pub http_request_bytes_max: u64,
    /// The most bytes in the body of one HTTP response.
    pub http_response_bytes_max: u64,
    /// The most headers in one HTTP request or response.
    pub http_headers_max: u32,
    /// The most bytes in all headers of one HTTP request or response, names and values.
    pub http_header_bytes_max: u32,
    /// The most HTTP requests at a time.
    pub http_requests_in_flight_max: u32,
    /// The most lines in the log.
    pub log_lines_max: u32,
    /// The most bytes of all lines together.
    pub log_bytes_max: u64,
    /// The most bytes in one line of the log; the rest is cut.
    pub log_line_bytes_max: u32,
    /// The most entries of all tables (functions called by pointer) together.
    pub table_elements_max: u32,
    /// The most handles at a time: transactions, requests, streams, headers.
    pub handles_max: u32,
}

/// Reads the section. `batch` is the default from `[sync]`.
pub(super) fn read_limits(mut limits: Reader<'_>, batch: u32) -> Limits {
    let config = Limits {
        memory_mib: limits.count("memory_mib", 1..=4096, 64),
        deadline_ms: limits.integer("deadline_ms", 100..=3_600_000, 30_000),
        cpu_ms: limits.integer("cpu_ms", 10..=3_600_000, 10_000),
        batch: limits.count("batch", 1..=1000, batch),
        concurrency: limits.count("concurrency", 1..=64, 2),
        query_rows_max: limits.count("query_rows_max", 1..=1_000_000, 10_000),
        query_bytes_max: limits.integer("query_bytes_max", 1024..=1024 * MIB, 16 * MIB),
        host_call_bytes_max: limits.integer("host_call_bytes_max", 1024..=1024 * MIB, 16 * MIB),
        host_calls_max: limits.count("host_calls_max", 1..=10_000_000, 50_000),
        http_request_bytes_max: limits.integer("http_request_bytes_max", 1024..=1024 * MIB, 32 * MIB),
        http_response_bytes_max: limits.integer("http_response_bytes_max", 1024..=1024 * MIB, 32 * MIB),
        http_headers_max: limits.count("http_headers_max", 1..=1000, 100),
        http_header_bytes_max: limits.count("http_header_bytes_max", 1024..=131_072, 65_536),
        http_requests_in_flight_max: limits.count("http_requests_in_flight_max", 1..=256, 8),
        log_lines_max: limits.count("log_lines_max", 0..=1_000_000, 1000),
        log_bytes_max: limits.integer("log_bytes_max", 1024..=1024 * MIB, MIB),
        log_line_bytes_max: limits.count("log_line_bytes_max", 64..=65_536, 4096),
        table_elements_max: limits.count("table_elements_max", 1000..=1_000_000, 100_000),
        handles_max: limits.count("handles_max", 10..=1_000_000, 10_000),
    };
    if limits.has("cpu_ms") && config.cpu_ms > config.deadline_ms {
        limits.note_key("cpu_ms", format!("must be at most deadline_ms ({})", config.deadline_ms));
    }
    limits.finish(&[]);
    config
}
