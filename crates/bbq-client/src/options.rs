//! How a client connects and behaves.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::Result;
use bbq_wire::client::ClientConfig;
use bbq_wire::frame::LIMIT_DOWN;
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::tls;

/// How a client connects and behaves. Cheap to clone: bots share one.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) address: String,
    pub(crate) scheme: String,
    pub(crate) token: Bytes,
    pub(crate) device: String,
    pub(crate) connect_within: Duration,
    pub(crate) timeout: Duration,
    pub(crate) push_queue: usize,
    pub(crate) max_frame: u32,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) max_calls: usize,
    pub(crate) seed: Option<u64>,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl Options {
    /// A gate at `tcp://host:port`, `tls://host:port`, `ws://host[:port][/path]` or `wss://host[:port][/path]`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            scheme: "guest".to_owned(),
            token: Bytes::new(),
            device: String::new(),
            connect_within: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            push_queue: 1024,
            max_frame: LIMIT_DOWN,
            backoff: (Duration::from_millis(200), Duration::from_secs(15)),
            max_calls: 1024,
            seed: None,
            tls: None,
        }
    }

    /// Logs in as a guest with this name; the gate must allow guests.
    #[must_use]
    pub fn guest(self, name: impl Into<String>) -> Self {
        self.auth("guest", name.into(), "")
    }

    /// Logs in with a credential: `scheme` says how the gate reads `token`, `device` is the slot of the account.
    #[must_use]
    pub fn auth(mut self, scheme: impl Into<String>, token: impl Into<Bytes>, device: impl Into<String>) -> Self {
        self.scheme = scheme.into();
        self.token = token.into();
        self.device = device.into();
        self
    }

    /// How long [`Client::connect`](crate::Client::connect) tries; 10 s unless set. Later reconnects never give up.
    #[must_use]
    pub const fn connect_within(mut self, limit: Duration) -> Self {
        self.connect_within = limit;
        self
    }

    /// How long [`Client::ask`](crate::Client::ask) waits for a reply; 5 s unless set.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many pushes may wait for the application; 1024 unless set. Beyond it the client reads nothing from the gate
    /// - no replies either - until some are taken; when nobody listens, the oldest are dropped instead.
    #[must_use]
    pub const fn push_queue(mut self, pushes: usize) -> Self {
        self.push_queue = pushes;
        self
    }

    /// Longest frame taken from the gate, in bytes; 1 MiB unless set.
    #[must_use]
    pub const fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes;
        self
    }

    /// First and longest pause between connections; 200 ms and 15 s unless set.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// Most calls that wait for their reply; 1024 unless set. More fail with `BUSY`.
    #[must_use]
    pub const fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = calls;
        self
    }

    /// Seed of the jitter of reconnects, for runs that can be repeated; random unless set.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// For `tls://` and `wss://`: trusts exactly the authorities in this PEM text. There is no built-in list.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when a certificate is malformed.
    pub fn roots_pem(mut self, pem: &[u8]) -> Result<Self> {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| {
            bbq_wire::Error::new(bbq_wire::Code::INVALID_ARGUMENT, format!("not PEM certificates: {error}"))
        })?;
        self.tls = Some(tls::with_roots(roots)?);
        Ok(self)
    }

    /// For `tls://` and `wss://`: a configuration of your own, such as the roots of the system.
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// For tests only: accepts every certificate, so anybody in the middle can read and change everything.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when TLS cannot be set up at all.
    pub fn dangerous_accept_any(mut self) -> Result<Self> {
        self.tls = Some(tls::accept_any()?);
        Ok(self)
    }

    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig {
            scheme: self.scheme.clone(),
            token: self.token.clone(),
            device: self.device.clone(),
            sdk: concat!("bbq-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_calls: self.max_calls,
            backoff_min: self.backoff.0,
            backoff_max: self.backoff.1,
            // The keys of a fresh `RandomState` are random.
            seed: self.seed.unwrap_or_else(|| RandomState::new().hash_one(0)),
            ..ClientConfig::default()
        }
    }
}
