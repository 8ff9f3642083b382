//! The battery of the control plane against real servers of etcd, Consul and ZooKeeper: one server of each for all cases,
//! every case below a root of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bbq_rt::control::battery::Ground;
use bbq_rt::control::{Config, ControlAddress, ControlPlane, SharedConfig};

#[path = "../../../../tests/support/engines.rs"]
mod servers;

use servers::{Kind, Server};

fn connect(url: &str, config: Config) -> Arc<dyn ControlPlane> {
    let address: ControlAddress = url.parse().expect("an address");
    let patience = Duration::from_secs(20);
    address.connect(SharedConfig { ttl: config.ttl, grace: config.grace, patience, ..SharedConfig::default() })
}

/// Two connections of a cluster that nobody used before.
fn ground(server: &Server, config: Config, remembers: bool) -> Ground {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let url = server.url(&format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    Ground { control: connect(&url, config), other: connect(&url, config), remembers }
}

mod etcd {
    use super::*;

    fn server() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Server::start(Kind::Etcd))
    }

    bbq_rt::control_battery!(async |config| (ground(server(), config, true), ()));
}

mod consul {
    use super::*;

    fn server() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Server::start(Kind::Consul))
    }

    bbq_rt::control_battery!(async |config| (ground(server(), config, false), ()));
}

mod zookeeper {
    use super::*;

    fn server() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Server::start(Kind::ZooKeeper))
    }

    bbq_rt::control_battery!(async |config| (ground(server(), config, false), ()));
}

mod faults;
