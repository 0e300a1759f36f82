//! Reads requests of HTTP/1.1 by hand, for the small servers of the tests that must break a connection where a library
//! would not let them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;

/// The head of the next request, with its empty line, and its body; `None` at the end of the connection.
pub fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
