//! JSON Web Tokens (RFC 7519) as credentials.

use bbq_core::gate::{AuthRequest, Verified};
use bbq_wire::{Code, Error, Result};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// How far the clocks of issuer and gate may differ, in seconds.
const LEEWAY_SECONDS: u64 = 10;

/// What precedes the key in a `SubjectPublicKeyInfo` (RFC 5280). DER has one encoding of an algorithm, so comparing
/// bytes is parsing. P-256 (RFC 5480), where an uncompressed point of 65 bytes follows:
const P256: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// Ed25519 (RFC 8410), where 32 bytes follow.
const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A key that signs tokens. Each key is good for one algorithm only, whatever a token claims.
#[derive(Clone)]
pub struct JwtKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

/// A key cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a usable key: {0}")]
pub struct JwtError(String);

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl JwtKey {
    /// HMAC with SHA-256: issuer and gate share a secret of at least 32 bytes.
    #[must_use]
    pub fn hs256(secret: &[u8]) -> Self {
        Self::new(Algorithm::HS256, DecodingKey::from_secret(secret))
    }

    /// ECDSA on P-256; the public key as PEM.
    ///
    /// # Errors
    /// It is no such key.
    pub fn es256(public_pem: &[u8]) -> Result<Self, JwtError> {
        let point = public_key(public_pem, P256, 65)?;
        Ok(Self::new(Algorithm::ES256, DecodingKey::from_ec_der(&point)))
    }

    /// Ed25519; the public key as PEM.
    ///
    /// # Errors
    /// It is no such key.
    pub fn eddsa(public_pem: &[u8]) -> Result<Self, JwtError> {
        let key = public_key(public_pem, ED25519, 32)?;
        Ok(Self::new(Algorithm::EdDSA, DecodingKey::from_ed_der(&key)))
    }

    /// Only for tokens whose header says this `kid`.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Only for tokens with this `iss`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Only for tokens with this `aud`.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { id: None, algorithm, key, issuer: None, audience: None }
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(self.algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The bytes of a public key (`-----BEGIN PUBLIC KEY-----`) of the kind that `head` says.
fn public_key(pem: &[u8], head: &[u8], length: usize) -> Result<Vec<u8>, JwtError> {
    let whole = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|why| JwtError(why.to_string()))?;
    match whole.strip_prefix(head) {
        Some(key) if key.len() == length => Ok(key.to_vec()),
        _ => Err(JwtError("it is a public key of another kind".to_owned())),
    }
}

/// Tries the keys that fit what the token's header says.
pub(crate) fn verify(keys: &[JwtKey], request: &AuthRequest) -> Result<Verified> {
    let refuse = |why: String| Error::new(Code::UNAUTHENTICATED, why);
    let header = decode_header(&request.token[..]).map_err(|why| refuse(why.to_string()))?;
    let fits = |key: &&JwtKey| key.algorithm == header.alg && (key.id.is_none() || key.id == header.kid);
    let mut why = "no key fits the token".to_owned();
    for key in keys.iter().filter(fits) {
        match decode::<Claims>(&request.token[..], &key.key, &key.validation()) {
            Ok(token) => return Ok(Verified::account(token.claims.sub)),
            Err(error) => why = error.to_string(),
        }
    }
    Err(refuse(why))
}
