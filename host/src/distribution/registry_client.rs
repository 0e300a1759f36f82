//! The host's credentials for a registry, and the certificate authorities that it trusts there.

use oci_client::client::{Certificate, CertificateEncoding};
use oci_client::secrets::RegistryAuth as ClientAuth;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::domain::secret::Secret;

/// The settings of a client of a registry or web server.
#[derive(Clone, Debug, Default)]
pub struct RegistryClient {
    /// The credentials; `None` for anonymous access.
    pub auth: Option<RegistryAuth>,
    /// The trusted certificate authorities; `None` for those of the system.
    pub authorities: Option<Authorities>,
}

/// Credentials for a registry.
#[derive(Clone, Debug)]
pub enum RegistryAuth {
    /// A user and password, for which a registry may issue a token.
    User {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry accepts directly.
    Token(Secret),
}

/// The only certificate authorities that are trusted.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<Vec<u8>>);

impl Authorities {
    /// Reads PEM.
    ///
    /// # Errors
    /// The problem of the text.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let none = || "is not a PEM file of certificates".to_owned();
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.map_err(|_| none())?;
        let mut store = RootCertStore::empty();
        certificates.iter().try_for_each(|certificate| store.add(certificate.clone())).map_err(|_| none())?;
        if certificates.is_empty() {
            return Err("holds no certificate: it begins with -----BEGIN CERTIFICATE-----".to_owned());
        }
        Ok(Self(certificates.iter().map(|certificate| certificate.to_vec()).collect()))
    }

    /// The authorities in the form of the web client.
    pub(super) fn for_web(&self) -> reqwest::Result<Vec<reqwest::Certificate>> {
        self.0.iter().map(|der| reqwest::Certificate::from_der(der)).collect()
    }

    /// The authorities in the form of the registry library.
    pub(super) fn for_registry(&self) -> Vec<Certificate> {
        self.0.iter().map(|der| Certificate { encoding: CertificateEncoding::Der, data: der.clone() }).collect()
    }
}

impl RegistryClient {
    pub(super) fn authentication(&self) -> ClientAuth {
        match &self.auth {
            None => ClientAuth::Anonymous,
            Some(RegistryAuth::User { user, password }) => {
                ClientAuth::Basic(user.clone(), password.expose().to_owned())
            }
            Some(RegistryAuth::Token(token)) => ClientAuth::Bearer(token.expose().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_certificate_authorities_are_refused() {
        for (pem, words) in [
            ("hello", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n", "is not a PEM file"),
        ] {
            let error = Authorities::read(pem.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
