//! Which control plane a process uses, as text: `etcd://host:port,host:port/root`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::consul::Consul;
use super::etcd::Etcd;
use super::keys::Keys;
use super::shared::SharedControl;
use super::zookeeper::ZooKeeper;
use super::{CenterControl, ControlPlane, SharedConfig};

/// Below which keys of an engine lie that belongs to others too.
const ROOT: &str = "gobbq";
/// Variable with the token for Consul, as Consul's own tools call it.
const CONSUL_TOKEN: &str = "CONSUL_HTTP_TOKEN";

/// An engine that keeps the control plane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// Served by the center at this address.
    Center,
    /// etcd 3.4 or newer.
    Etcd,
    /// Consul 1.8 or newer.
    Consul,
    /// ZooKeeper 3.6 or newer.
    ZooKeeper,
}

/// Where the control plane is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlAddress {
    /// What answers there.
    pub engine: EngineKind,
    /// `host:port` of each server; one for a center.
    pub servers: Vec<String>,
    /// Below which keys lie; clusters with the same engine need different ones.
    pub root: String,
}

impl FromStr for ControlAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write etcd://HOST:PORT,HOST:PORT, consul://.., zookeeper://.. or center://HOST:PORT";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("`{text}` has no scheme: {example}"))?;
        let engine = match scheme {
            "center" => EngineKind::Center,
            "etcd" => EngineKind::Etcd,
            "consul" => EngineKind::Consul,
            "zookeeper" => EngineKind::ZooKeeper,
            other => return Err(format!("`{other}` is not a control plane: {example}")),
        };
        let (servers, root) = rest.split_once('/').unwrap_or((rest, ""));
        let servers: Vec<String> = servers.split(',').map(str::to_owned).collect();
        let is_address = |server: &String| {
            let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if let Some(bad) = servers.iter().find(|server| !is_address(server)) {
            return Err(format!("`{bad}` is not HOST:PORT: {example}"));
        }
        if engine == EngineKind::Center && (servers.len() > 1 || !root.is_empty()) {
            return Err("a center has one address and no path".into());
        }
        let root = root.trim_end_matches('/');
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !root.is_empty() && !root.split('/').all(is_name) {
            return Err(format!("`{root}` is not a path of letters, digits, `-` and `_`"));
        }
        let root = if root.is_empty() { ROOT } else { root }.to_owned();
        Ok(Self { engine, servers, root })
    }
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.engine {
            EngineKind::Center => return write!(f, "center://{}", self.servers.join(",")),
            EngineKind::Etcd => "etcd",
            EngineKind::Consul => "consul",
            EngineKind::ZooKeeper => "zookeeper",
        };
        write!(f, "{scheme}://{}", self.servers.join(","))?;
        if self.root == ROOT { Ok(()) } else { write!(f, "/{}", self.root) }
    }
}

impl ControlAddress {
    /// The control plane there. It connects by itself; whether anybody answers is seen at the first request.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(&self, config: SharedConfig) -> Arc<dyn ControlPlane> {
        let Self { engine, servers, root } = self;
        let patience = config.patience;
        let keys: Arc<dyn Keys> = match engine {
            EngineKind::Center => return Arc::new(CenterControl::new(servers.join(","))),
            EngineKind::Etcd => Arc::new(Etcd::new(servers.clone(), root, patience)),
            EngineKind::Consul => {
                let token = std::env::var(CONSUL_TOKEN).ok();
                Arc::new(Consul::new(servers.clone(), token.as_deref(), root, patience))
            }
            EngineKind::ZooKeeper => Arc::new(ZooKeeper::new(servers.clone(), root, patience)),
        };
        Arc::new(SharedControl::start(keys, config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "etcd://10.0.0.1:2379,10.0.0.2:2379",
            "consul://localhost:8500/games/chat",
            "zookeeper://[::1]:2181",
            "center://10.0.0.1:4100",
        ] {
            assert_eq!(text.parse::<ControlAddress>().expect(text).to_string(), text);
        }
        let plain: ControlAddress = "etcd://a:1/".parse().expect("an empty path is none");
        assert_eq!(plain.root, "gobbq");
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for (text, words) in [
            ("10.0.0.1:2379", "has no scheme"),
            ("redis://a:1", "`redis` is not a control plane"),
            ("etcd://a", "`a` is not HOST:PORT"),
            ("etcd://a:1,", "`` is not HOST:PORT"),
            ("etcd://a:0", "is not HOST:PORT"),
            ("etcd://a:1/x//y", "is not a path"),
            ("etcd://a:1/ä", "is not a path"),
            ("center://a:1,b:1", "one address"),
        ] {
            let error = text.parse::<ControlAddress>().expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
