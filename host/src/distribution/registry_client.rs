//! How the host authenticates at a registry, and which certificate authorities it trusts there.

use oci_client::client::{Certificate, CertificateEncoding};
use oci_client::secrets::RegistryAuth as ClientAuth;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::domain::secret::Secret;

/// The settings of a client of a registry or web server.
#[derive(Clone, Debug, Default)]
pub struct RegistryClient {
    /// How the host authenticates; anonymous where there is none.
    pub auth: Option<RegistryAuth>,
    /// The certificate authorities to trust; the system's where there are none.
    pub authorities: Option<Authorities>,
}

/// How the host authenticates at a registry.
#[derive(Clone, Debug)]
pub enum RegistryAuth {
    /// With a user and password, for which a registry may issue a token.
    User {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// With a token that the registry accepts as it is.
    Token(Secret),
}

/// Certificate authorities that are trusted, and no others.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<Vec<u8>>);

impl Authorities {
    /// Reads PEM.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// As the client of addresses takes them.
    pub(super) fn for_web(&self) -> reqwest::Result<Vec<reqwest::Certificate>> {
        self.0.iter().map(|der| reqwest::Certificate::from_der(der)).collect()
    }

    /// As the client of registries takes them.
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
