//! Decides which headers of an HTTP request only the host may set.

/// The headers of the connection and of authentication. Neither an adapter nor the operator's list of headers may set
/// them, and an adapter does not see them in a response. In lower case.
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

/// Headers that servers, gateways and proxies trust because another machine usually sets them: sender, origin, method,
/// path. An adapter may not set them. A name that ends with `-` stands for all headers with that prefix. In lower case.
const WORD_OF_OTHERS: [&str; 33] = [
    "cdn-loop",
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "front-end-https",
    "proxy",
    "proxy-",
    "remote-",
    "ssl-client-",
    "true-client-ip",
    "via",
    "x-amz-cf-id",
    "x-arr-",
    "x-authenticated-",
    "x-client-",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forwarded",
    "x-forwarded-",
    "x-goog-",
    "x-host",
    "x-http-method",
    "x-http-method-",
    "x-method-override",
    "x-middleware-",
    "x-ms-client-",
    "x-original-",
    "x-proxy-",
    "x-real-ip",
    "x-remote-",
    "x-rewrite-",
    "x-ssl-",
    "x-webauth-",
];

/// Whether an adapter may neither set nor see this header. Servers that pass headers on as variables treat `_` as `-`.
#[must_use]
pub fn is_closed_to_adapters(name: &str) -> bool {
    let name = folded(name);
    let begins = |start: &&str| if start.ends_with('-') { name.starts_with(*start) } else { name == **start };
    CONNECTION_AND_CREDENTIALS.contains(&name.as_str()) || WORD_OF_OTHERS.iter().any(begins)
}

/// Whether a server may treat two names as the same header.
#[must_use]
pub fn is_same(left: &str, right: &str) -> bool {
    folded(left) == folded(right)
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Headers about the form or condition of a body. They belong to one request, not to a target.
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

/// Checks that an operator may add this header to every request of a target.
///
/// # Errors
/// The reason, as a lower-case fragment that follows the header's name.
pub fn check_added(name: &str) -> Result<(), &'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_token) {
        Err("is not the name of an HTTP header")
    } else if name == "authorization" {
        Err("is the host's own; fix: use auth")
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
    use super::{check_added, is_closed_to_adapters, is_same};

    #[test]
    fn hostile_header_names_are_refused_from_adapters() {
        for name in [
            "X-HTTP-Method-Override",
            "x-http-method",
            "X-Method-Override",
            "X-Original-URL",
            "x-rewrite-url",
            "X-Forwarded-For",
            "X_Forwarded_Host",
            "x-forwarded",
            "Forwarded",
            "Proxy",
            "Proxy-Connection",
            "Remote-User",
            "X_Remote_User",
            "X-Real-IP",
            "AUTHORIZATION",
            "Transfer_Encoding",
            "X-Envoy-Original-Path",
            "Via",
        ] {
            assert!(is_closed_to_adapters(name), "{name}");
        }
        for name in ["Content-Type", "If-Match", "Prefer", "X-Tenant-ID", "X-Request-ID", "Accept", "X-Hosted-By"] {
            assert!(!is_closed_to_adapters(name), "{name}");
        }
        assert!(is_same("X_Api-Key", "x-api-key"));
    }

    #[test]
    fn only_unreserved_headers_can_be_added() {
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
