//! The application: what a game's `main` builds and runs.

use std::sync::Arc;

use bbq_core::gate::{DuplicateLogin, Limits as GateLimits};
use bbq_core::mesh::{Candidate, Limits as MeshLimits, Spread};
use bbq_core::world::Definition;
use bbq_gate::{Pages, Verifier};
use bbq_wire::gate::GateConfig as SessionLimits;
use bbq_wire::{EntityId, NodeUid};
use bytes::Bytes;

use crate::failure::{Failure, Result};
use crate::logs;
use crate::node::{Node, Parts};
use crate::options::{Options, SETTINGS};
use crate::tuning::WorldLimits;

/// Types to serve, and how the process is set up.
#[derive(Debug)]
pub struct App {
    options: Options,
    parts: Parts,
}

impl App {
    /// An application with the given settings.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, parts: Parts::default() }
    }

    /// An application set up by `BBQ_*` variables and the command line. `--help` prints the settings and ends the
    /// process.
    ///
    /// # Errors
    /// A setting is unknown or has a bad value.
    pub fn from_env() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            print_help();
            std::process::exit(0);
        }
        Ok(Self::new(Options::parse(|name| std::env::var(name).ok(), arguments)?))
    }

    /// Serves a type: `app.add(RoomRef::entity::<Room>())`.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it adds a type to an application; nobody reads it as a sum")]
    pub fn add(mut self, definition: Definition) -> Self {
        self.parts.definitions.push(definition);
        self
    }

    /// The generated `DESCRIPTOR`: with it `bbq call` can name methods and speak JSON.
    #[must_use]
    pub fn descriptor(mut self, descriptor: &'static [u8]) -> Self {
        self.parts.schemas.push(Bytes::from_static(descriptor));
        self
    }

    /// Who judges the credentials of clients. Without it every guest is let in: for development.
    #[must_use]
    pub fn verifier(mut self, verifier: Verifier) -> Self {
        self.parts.verifier = Some(verifier);
        self
    }

    /// Pages that the gate serves over HTTP on the clients' port: from the path to content type and body.
    #[must_use]
    pub fn pages(mut self, pages: impl Fn(&str) -> Option<(String, Bytes)> + Send + Sync + 'static) -> Self {
        self.parts.pages = Pages::new(pages);
        self
    }

    /// Limits of the gate as a whole: connections, sessions, groups. [`GateLimits::default`] has the defaults.
    ///
    /// ```
    /// use gobbq::limits::GateLimits;
    /// use gobbq::{App, Options};
    ///
    /// let limits = GateLimits { sessions: 5_000, ..GateLimits::default() };
    /// let app = App::new(Options::default()).gate_limits(limits);
    /// ```
    /// [`App::run`] refuses values that make no sense and names them. The options `--max-connections`,
    /// `--max-connections-per-address` and `--max-sessions` win.
    #[must_use]
    pub fn gate_limits(mut self, limits: GateLimits) -> Self {
        self.parts.tuning.gate = limits;
        self
    }

    /// What holds for each session: heartbeat, resume window, sizes of frames, calls at a time. The gate sets
    /// `origin_ms` itself. The option `--resume-window` wins.
    #[must_use]
    pub fn session_limits(mut self, limits: SessionLimits) -> Self {
        self.parts.tuning.session = limits;
        self
    }

    /// What a second login of an account does [`DuplicateLogin::Replace`].
    #[must_use]
    pub fn duplicate_login(mut self, policy: DuplicateLogin) -> Self {
        self.parts.tuning.duplicate_login = policy;
        self
    }

    /// Limits of each world of the game role. The option `--max-entities` wins.
    #[must_use]
    pub fn world_limits(mut self, limits: WorldLimits) -> Self {
        self.parts.tuning.world = limits;
        self
    }

    /// Limits of what travels between nodes: calls, queues, retries, pings.
    #[must_use]
    pub fn mesh_limits(mut self, limits: MeshLimits) -> Self {
        self.parts.tuning.mesh = limits;
        self
    }

    /// How calls of this process are spread over the instances of a service [`Spread::RoundRobin`].
    #[must_use]
    pub fn spread(mut self, spread: Spread) -> Self {
        self.parts.tuning.spread = spread;
        self
    }

    /// Who chooses the node of a new entity, of those whose directory slots this process holds (proxies): the entity,
    /// who asked, and the nodes that serve its type. `None`: gobbq chooses.
    #[must_use]
    pub fn placement(
        mut self,
        place: impl Fn(&EntityId, NodeUid, &[Candidate<'_>]) -> Option<NodeUid> + Send + Sync + 'static,
    ) -> Self {
        self.parts.tuning.placement = Some(Arc::new(place));
        self
    }

    /// Runs until ctrl-C, SIGTERM or the end of `--for`; then drains.
    ///
    /// Each world has a thread of its own. Sockets, gate and mesh run on the runtime that calls: one thread with
    /// `#[tokio::main(flavor = "current_thread")]`, which is faster until TLS or thousands of messages per second fill a
    /// core, and one per core with `#[tokio::main]` (`docs/benchmarks.md`, "A gate and bare sockets").
    ///
    /// # Errors
    /// Something could not start, or not everything could be saved at the end; the text says what and how to mend it.
    pub async fn run(self) -> Result<()> {
        logs::init();
        let node = Node::start(&self.options, Arc::new(self.parts)).await?;
        if let Some(path) = &self.options.ready_file {
            node.addresses().write(path)?;
        }
        let failure = tokio::select! {
            () = wait_for_the_end(self.options.run_for) => None,
            failure = node.failed() => Some(failure),
        };
        let saved = node.shutdown().await;
        failure.map_or(saved, Err)
    }
}

/// Waits for ctrl-C, SIGTERM, or until the time is over.
pub async fn wait_for_the_end(limit: Option<std::time::Duration>) {
    let timer = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = timer => {}
        () = terminated() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn terminated() {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        signal.recv().await;
        return;
    }
    std::future::pending().await
}

#[expect(clippy::print_stdout, reason = "help goes to standard output")]
fn print_help() {
    println!("Settings (the variable in brackets says the same; the command line wins):\n");
    for (option, variable, value, meaning) in SETTINGS {
        println!("  {:<28} {meaning} [{variable}]", format!("{option} {value}"));
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_fill_what_the_node_reads() {
        let app = App::new(Options::default())
            .gate_limits(GateLimits { sessions: 7, ..GateLimits::default() })
            .session_limits(SessionLimits { max_calls: 8, ..SessionLimits::default() })
            .world_limits(WorldLimits { entities: 9, ..WorldLimits::default() })
            .mesh_limits(MeshLimits { calls: 10, ..MeshLimits::default() })
            .duplicate_login(DuplicateLogin::Allow)
            .spread(Spread::LeastLoaded)
            .placement(|_, _, _| None);
        let tuning = app.parts.tuning;
        assert_eq!((tuning.gate.sessions, tuning.session.max_calls), (7, 8));
        assert_eq!((tuning.world.entities, tuning.mesh.calls), (9, 10));
        assert_eq!((tuning.duplicate_login, tuning.spread), (DuplicateLogin::Allow, Spread::LeastLoaded));
        assert!(tuning.placement.is_some());
    }

    #[tokio::test]
    async fn values_that_make_no_sense_end_the_start() {
        let app = App::new(Options::default()).gate_limits(GateLimits { sessions: 0, ..GateLimits::default() });
        let failure = app.run().await.expect_err("refused").to_string();
        assert!(failure.starts_with("gate_limits: `sessions` is 0"), "{failure}");
    }
}
