//! Who judges credentials: a closure of the application, or one of ours.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bbq_core::gate::{AuthRequest, Verified};
use bbq_wire::{Code, Error, Result};

type Judgement = Pin<Box<dyn Future<Output = Result<Verified>> + Send>>;

/// Judges credentials. An error is told to the client: `UNAUTHENTICATED` for a bad credential, `UNAVAILABLE` with
/// `retry_after` when it cannot be judged now.
#[derive(Clone)]
pub struct Verifier(Arc<dyn Fn(AuthRequest) -> Judgement + Send + Sync>);

impl Verifier {
    /// A verifier that asks `judge`.
    #[must_use]
    pub fn new<F>(judge: impl Fn(AuthRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Verified>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(judge(request))))
    }

    /// For development only: the token is the account, whatever it is. Logs a warning.
    #[must_use]
    pub fn guest() -> Self {
        tracing::warn!("guest logins are on: everybody can be anybody");
        Self::new(|request| std::future::ready(guest(&request)))
    }

    /// JSON Web Tokens signed with one of `keys`; see [`crate::JwtKey`]. `sub` is the account, `exp` is required.
    #[must_use]
    pub fn jwt(keys: Vec<crate::JwtKey>) -> Self {
        let keys = Arc::new(keys);
        Self::new(move |request| std::future::ready(crate::jwt::verify(&keys, &request)))
    }

    pub(crate) fn judge(&self, request: AuthRequest) -> Judgement {
        (self.0)(request)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

fn guest(request: &AuthRequest) -> Result<Verified> {
    if request.scheme != "guest" {
        let why = format!("this gate knows guests only, not `{}`", request.scheme.escape_debug());
        return Err(Error::new(Code::UNAUTHENTICATED, why));
    }
    match std::str::from_utf8(&request.token) {
        Ok(account) if !account.is_empty() => Ok(Verified::account(account)),
        _ => Err(Error::new(Code::UNAUTHENTICATED, "a guest's token is its account")),
    }
}
