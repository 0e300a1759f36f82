//! Describes a redirect: its location and the fix.
//!
//! The location is the server's own text. Only its scheme, host and path are shown, limited in length and characters;
//! the rest may contain a patient's identifier or a session. If it ends with the path of the request, that path is
//! removed, so that the text is the `base_url` to set.

use super::Asked;

/// The maximum length of a shown URL in characters.
const ADDRESS_CHARS_MAX: usize = 120;

/// The text after "answered 302: ".
pub(super) fn line(asked: &Asked<'_>, location: Option<&str>) -> String {
    let Some(address) = location.and_then(|location| resolved(asked.base_url, location)) else {
        return "a redirect that names no address, which is not followed: check base_url".to_owned();
    };
    let bundle = asked.path.is_empty() || asked.path == "/";
    let path = asked.path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let base = asked.base_url.and_then(|base| resolved(None, base));
    let as_asked = base.as_deref().map(|base| joined(base, path));
    if as_asked.is_some_and(|as_asked| is_same(&as_asked, &address)) {
        let also = if bundle { ", or set batch = false: nothing but Bundles goes to that address" } else { "" };
        return format!(
            "a redirect to the same address, {}, so that no other base_url helps; fix: correct it at the server or at \
             the proxy before it{also}",
            shown(&address)
        );
    }
    let leads_to = address.strip_suffix(path).filter(|_| !path.is_empty()).unwrap_or(&address);
    format!("a redirect to {}, which is not followed; fix: set base_url to where the service is", shown(leads_to))
}

/// `https://host/path` without query and fragment, or the path alone if no base is known.
fn resolved(base: Option<&str>, location: &str) -> Option<String> {
    let location = location.trim().split(['?', '#', ';']).next().filter(|location| !location.is_empty())?;
    let (scheme, rest) = if let Some((scheme, rest)) = location.split_once("://") {
        (scheme.to_ascii_lowercase(), rest.to_owned())
    } else {
        let (scheme, of_base) = base?.split_once("://")?;
        let authority = of_base.split('/').next().unwrap_or_default();
        let rest = match (location.strip_prefix("//"), location.starts_with('/')) {
            (Some(rest), _) => rest.to_owned(),
            (None, true) => format!("{authority}{location}"),
            (None, false) => joined(of_base, location),
        };
        (scheme.to_ascii_lowercase(), rest)
    };
    let (authority, path) = rest.find('/').map_or((rest.as_str(), ""), |slash| rest.split_at(slash));
    // The part before the host may be a password.
    let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    (!host.is_empty()).then(|| format!("{scheme}://{host}{path}"))
}

fn joined(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn shown(address: &str) -> String {
    let plain = |character: char| if character.is_ascii_graphic() { character } else { '?' };
    let mut shown: String = address.chars().take(ADDRESS_CHARS_MAX).map(plain).collect();
    if address.chars().nth(ADDRESS_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(base_url: &str, path: &str, location: &str) -> String {
        line(&Asked { what: "GET metadata", base_url: Some(base_url), path }, Some(location))
    }

    #[test]
    fn a_redirect_names_its_bounded_destination_without_the_query() {
        for (base, path, location, expected) in [
            ("http://h/fhir", "metadata", "https://H/fhir/metadata?token=hunter2", "to https://h/fhir/, "),
            ("http://h/fhir", "metadata", "/r4/metadata", "to http://h/r4/, "),
            ("http://h/fhir", "Patient?identifier=a%7CKim", "/login?from=Kim#Kim", "to http://h/login, "),
            ("http://h/fhir", "", "//other:81/login;jsessionid=hunter2", "to http://other:81/login, "),
            ("http://h/fhir", "", "https://user:hunter2@other/x", "to https://other/x, "),
            ("http://h/fhir", "", "login", "to http://h/fhir/login, "),
            ("http://h/fhir", "", "https://other/\u{1b}[2Jx\u{202e}", "to https://other/?[2Jx?, "),
        ] {
            let told = told(base, path, location);
            assert!(told.contains(expected) && told.contains("fix: set base_url"), "{location}: {told}");
            assert!(!told.contains("hunter2") && !told.contains("Kim"), "{told}");
        }
        assert!(told("http://h/fhir", "", &format!("/{}", "x".repeat(5_000))).len() < 300);
        let none = line(&Asked { what: "GET metadata", base_url: None, path: "metadata" }, None);
        assert!(none.contains("names no address"), "{none}");
    }

    #[test]
    fn a_redirect_loop_is_reported_with_the_fix() {
        for (path, location) in
            [("", "http://h/fhir"), ("/", "http://h/fhir"), ("", "/fhir/"), ("/", "HTTP://H/fhir/?a")]
        {
            let told = told("http://h/fhir/", path, location);
            assert!(told.contains("no other base_url helps") && told.contains("batch = false"), "{location}: {told}");
        }
        let told = told("http://h/fhir", "metadata?_format=json", "http://h/fhir/metadata");
        assert!(told.contains("no other base_url helps") && !told.contains("batch"), "{told}");
    }
}
