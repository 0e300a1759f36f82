//! The functions of this layer that the fuzz targets (`fuzz/`) call, without a runtime. Nothing else may call them.
//!
//! They are the functions that serve adapters. The guard is tested by [`rewrite_statement`](super::rewrite_statement).

use http::{HeaderValue, Uri};
use url::Url;

pub use super::artifact::inspect;
use super::capability::http_list::AllowList;
use super::capability::http_secret::header;
pub use super::response::{descriptor, failure, observation, outcomes, report};

/// The URL that an adapter's request is sent to, for a target with these base URLs.
///
/// # Errors
/// Why a base URL is refused, or the request.
pub fn check_request(base_urls: &[&str], allow_private: bool, uri: &Uri) -> Result<Url, String> {
    let list = AllowList::new(base_urls.iter().copied(), allow_private)?;
    list.check(uri).map_err(|refusal| format!("{refusal:?}"))
}

/// The value of a header that the host adds.
///
/// # Errors
/// Why the text cannot be one.
pub fn header_value(text: &str) -> Result<HeaderValue, String> {
    header(text).map_err(|failure| failure.message)
}
