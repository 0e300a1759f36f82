//! Until when a certificate is valid.

use jiff::civil::date;
use jiff::fmt::strtime;

/// When a certificate (DER) ends, milliseconds since 1970-01-01 UTC; `None` when it is not one.
#[must_use]
pub fn certificate_end(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    certificate.validity().not_after.timestamp().checked_mul(1_000)
}

/// The end of a certificate as MySQL, MariaDB and OpenSSL print it: `Nov 28 18:00:00 2027 GMT`. Milliseconds since
/// 1970-01-01 UTC; `None` when it is not such a text.
#[must_use]
pub fn printed_end(text: &str) -> Option<i64> {
    let end = strtime::parse("%b %d %H:%M:%S %Y GMT", text).ok()?.to_datetime().ok()?;
    // Not by way of a timestamp: those end before the year 9999 does, which stands for no end.
    i64::try_from(end.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let mut parameters = rcgen::CertificateParams::new(vec!["fhir.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(certificate_end(certificate.der()), Some(1_927_843_200_000));
        assert_eq!(certificate_end(b"not a certificate"), None);
    }

    #[test]
    fn a_printed_end_is_read() {
        for (text, expected) in [
            ("Nov 28 18:00:00 2027 GMT", Some(1_827_424_800_000)),
            ("Feb  3 00:00:00 2031 GMT", Some(1_927_843_200_000)),
            ("Jan  1 00:00:01 1970 GMT", Some(1_000)),
            ("Dec 31 23:59:59 9999 GMT", Some(253_402_300_799_000)),
            ("", None),
            ("Feb 30 00:00:00 2031 GMT", None),
            ("Nov 28 18:00:00 2027", None),
            ("Nov 28 18:00:00 2027 GMT and more", None),
            ("2027-11-28T18:00:00Z", None),
        ] {
            assert_eq!(printed_end(text), expected, "{text}");
        }
    }
}
