//! How a gate is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bbq_core::gate::Config;
use bytes::Bytes;

/// How a gate is started.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// Where to listen; port 0 chooses one.
    pub listen: SocketAddr,
    /// With it, TLS is spoken to clients that speak it, on the same port.
    pub tls: Option<TlsConfig>,
    /// Refuse clients that do not speak TLS. They are cut off without a word.
    pub only_tls: bool,
    /// What the machine needs to know: node, limits, policies.
    pub machine: Config,
    /// What plain HTTP requests see.
    pub pages: Pages,
    /// Messages of connections that wait for the machine; a connection with one more waits with it.
    pub queue: usize,
}

/// Where the certificate is. Both files are PEM.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

type Handler = dyn Fn(&str) -> Option<(String, Bytes)> + Send + Sync;

/// What plain HTTP requests see: a closure from the path (`/index.html`, without query) to content type and body.
/// `/healthz` and `/readyz` are answered by the gate itself.
#[derive(Clone, Default)]
pub struct Pages(Option<Arc<Handler>>);

/// Why a gate did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key cannot be read.
    #[error("cannot read {path}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not make a TLS server.
    #[error("cannot use the certificate: {0}")]
    Tls(String),
}

impl GateConfig {
    /// A gate without TLS and pages, with default limits.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        let machine = Config::default();
        Self { listen, tls: None, only_tls: false, machine, pages: Pages::default(), queue: 1024 }
    }
}

impl Pages {
    /// Pages that `handler` makes; `None` is 404.
    #[must_use]
    pub fn new(handler: impl Fn(&str) -> Option<(String, Bytes)> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(handler)))
    }

    pub(crate) fn find(&self, path: &str) -> Option<(String, Bytes)> {
        self.0.as_ref().and_then(|handler| handler(path))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Pages(some)" } else { "Pages(none)" })
    }
}
