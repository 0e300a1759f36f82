//! Learns the address of the server that wrote the files from the references in them.
//!
//! An absolute reference below another address may name another patient with the same id. So an address is learned only
//! where every reference to a patient is absolute and below that one.

/// The addresses that references to patients begin with.
#[derive(Debug, Default)]
pub(super) struct BaseUrls {
    only: Option<String>,
    is_unclear: bool,
}

const PATIENT: &[u8] = b"Patient/";
/// The longest address that is learned.
const BYTES_MAX: usize = 255;

impl BaseUrls {
    /// Looks at each text with `Patient/` on this line.
    pub(super) fn add_line(&mut self, line: &[u8]) {
        if self.is_unclear {
            return;
        }
        for at in memchr::memmem::find_iter(line, PATIENT) {
            let before = &line[..at];
            let start = before.iter().rposition(|byte| *byte == b'"').map_or(0, |quote| quote + 1);
            let prefix = &before[start..];
            if prefix.starts_with(b"http://") || prefix.starts_with(b"https://") {
                self.add(prefix);
            } else if prefix.is_empty() {
                self.is_unclear = true;
            }
        }
    }

    fn add(&mut self, prefix: &[u8]) {
        let Some(base) = std::str::from_utf8(prefix).ok().and_then(|text| text.strip_suffix('/')) else { return };
        match &self.only {
            Some(only) => self.is_unclear |= only != base,
            None if base.len() <= BYTES_MAX && url::Url::parse(base).is_ok() => self.only = Some(base.to_owned()),
            None => self.is_unclear = true,
        }
    }

    /// The address, if it is clear.
    pub(super) fn learned(self) -> Option<String> {
        self.only.filter(|_| !self.is_unclear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(lines: &[&str]) -> Option<String> {
        let mut bases = BaseUrls::default();
        for line in lines {
            bases.add_line(line.as_bytes());
        }
        bases.learned()
    }

    #[test]
    fn an_address_is_learned_only_where_no_other_patient_can_be_meant() {
        let own = r#"{"subject":{"reference":"https://a.example/r4/Patient/1"}}"#;
        assert_eq!(learned(&[own, own, r#"{"id":"1"}"#]).as_deref(), Some("https://a.example/r4"));
        let relative = r#"{"subject":{"reference":"Patient/1"}}"#;
        let other = r#"{"subject":{"reference":"https://b.example/r4/Patient/1"}}"#;
        for lines in [&[own, relative][..], &[own, other], &[relative], &[other, own, own], &["{}"]] {
            assert_eq!(learned(lines), None, "{lines:?}");
        }
    }
}
