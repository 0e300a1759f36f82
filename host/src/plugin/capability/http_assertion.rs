//! `private_key_jwt`: a short statement of who the host is, signed with its private key (RFC 7523, SMART Backend
//! Services).
//!
//! RS384 for an RSA key, ES384 for one on P-384; the key itself says which. The signing is ring's.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA384, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::domain::secret::Secret;

/// How long an assertion is good for, seconds. SMART allows five minutes at most.
const LIFE_S: u64 = 240;

/// A private key in memory.
pub(super) enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// Reads PEM; the error says how to make a key that is understood.
    pub(super) fn read(pem: &Secret) -> Result<Self, String> {
        const MEND: &str = "write it as PKCS #8: openssl pkcs8 -topk8 -nocrypt";
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_| format!("is not a private key in PEM without a passphrase; {MEND}"))?;
        let rsa = match &der {
            PrivateKeyDer::Pkcs1(key) => return Self::rsa(RsaKeyPair::from_der(key.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(format!("has a form that is not understood; {MEND}")),
        };
        let document = der.secret_der();
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document, &SystemRandom::new()) {
            Ok(key) => Ok(Self::P384(Box::new(key))),
            Err(_) => Self::rsa(rsa),
        }
    }

    fn rsa(key: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Self, String> {
        key.map(|key| Self::Rsa(Box::new(key)))
            .map_err(|_| "is neither RSA of 2048 bits or more nor on the curve P-384".to_owned())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS384",
            Self::P384(_) => "ES384",
        }
    }

    /// A statement for this endpoint, good once and for some minutes.
    pub(super) fn assertion(&self, key_id: &str, client_id: &str, audience: &str) -> Result<Zeroizing<String>, String> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?.as_secs();
        let head = serde_json::json!({ "alg": self.algorithm(), "kid": key_id, "typ": "JWT" });
        let claims = serde_json::json!({
            "iss": client_id, "sub": client_id, "aud": audience, "iat": now_s, "exp": now_s + LIFE_S,
            "jti": uuid::Uuid::now_v7().to_string(),
        });
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let text = format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.sign(text.as_bytes()).map_err(|_| "the private key does not sign".to_owned())?;
        Ok(Zeroizing::new(format!("{text}.{}", encode(&signature))))
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA384, &random, bytes, &mut signature)?;
                Ok(signature)
            }
            Self::P384(key) => Ok(key.sign(&random, bytes)?.as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p384_key_signs_es384_and_other_keys_are_refused_without_being_shown() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let signing = SigningKey::read(&Secret::new(key.serialize_pem())).unwrap();
        assert_eq!(signing.algorithm(), "ES384");
        assert_eq!(signing.assertion("k", "c", "https://h/token").unwrap().split('.').count(), 3);
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        for pem in [other.serialize_pem(), "hunter2".to_owned()] {
            let error = SigningKey::read(&Secret::new(pem.clone())).err().unwrap();
            assert!(!error.contains("hunter2") && !pem.is_empty(), "{error}");
        }
    }
}
