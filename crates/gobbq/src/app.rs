//! The application: what a game's `main` builds and runs.

use std::sync::Arc;

use bbq_core::world::Definition;
use bbq_gate::{Pages, Verifier};
use bytes::Bytes;
use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Result};
use crate::node::{Node, Parts};
use crate::options::{Options, SETTINGS};

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

    /// Runs until ctrl-C, SIGTERM or the end of `--for`; then drains.
    ///
    /// # Errors
    /// Something could not start, or not everything could be saved at the end; the text says what and how to mend it.
    pub async fn run(self) -> Result<()> {
        init_logs();
        // Sockets and worlds run on threads of their own; the caller's runtime only waits.
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

/// Logs to standard error, as `RUST_LOG` says (default: `info`). A second call does nothing.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).compact().try_init();
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
