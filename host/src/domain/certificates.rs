//! Until when a certificate is valid.

/// When a certificate (DER) ends, milliseconds since 1970-01-01 UTC; `None` when it is not one.
#[must_use]
pub fn certificate_end(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    certificate.validity().not_after.timestamp().checked_mul(1_000)
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
}
