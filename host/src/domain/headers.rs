//! Which headers of an HTTP request are the host's own.

/// The connection's own headers, and everything that authenticates: neither an adapter nor the operator's list of headers may
/// set them, and an adapter does not see them in an answer. In small letters.
pub const CONNECTION_AND_CREDENTIALS: [&str; 18] = [
    "host",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "transfer-encoding",
    "expect",
    "forwarded",
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "proxy-connection",
    "keep-alive",
    "http2-settings",
    "x-forwarded-for",
];

/// What says how a body is written or on which condition it is: it belongs to each request, not to a target.
const OF_ONE_REQUEST: [&str; 13] = [
    "accept",
    "accept-encoding",
    "content-encoding",
    "content-length",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-exist",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "prefer",
    "range",
];

/// Whether an operator may have this header added to every request of a target; else the reason.
///
/// # Errors
/// A lower-case fragment that reads well after the header's name.
pub fn check_added(name: &str) -> Result<(), &'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_token) {
        Err("is not the name of an HTTP header")
    } else if name == "authorization" {
        Err("is the host's own: say it with auth")
    } else if CONNECTION_AND_CREDENTIALS.contains(&name.as_str()) {
        Err("is the host's own")
    } else if OF_ONE_REQUEST.contains(&name.as_str()) {
        Err("belongs to each request and is the adapter's")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check_added;

    #[test]
    fn only_headers_that_are_nobodys_own_can_be_added() {
        for name in ["X-Tenant-ID", "x-api-key", "Ocp-Apim-Subscription-Key"] {
            assert_eq!(check_added(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "X Tenant",
            "X-Tenant:",
            "Größe",
            "Host",
            "AUTHORIZATION",
            "Cookie",
            "If-Match",
            "Content-Type",
            "content-length",
        ] {
            assert!(check_added(name).is_err(), "{name}");
        }
    }
}
