//! When a command that stays is asked to end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// ctrl-C, SIGTERM and the end of the terminal, and the time limit.
#[derive(Debug)]
pub(crate) struct End {
    signals: [Signal; 3],
    deadline: Option<tokio::time::Instant>,
}

impl End {
    /// From now on these signals no longer end the process by themselves.
    pub(crate) fn after(limit: Option<Duration>) -> Result<Self> {
        let take =
            |kind| signal(kind).map_err(|why| Failure::new(Code::START, "signals cannot be caught").because(why));
        let signals = [take(SignalKind::interrupt())?, take(SignalKind::terminate())?, take(SignalKind::hangup())?];
        Ok(Self { signals, deadline: limit.map(|limit| tokio::time::Instant::now() + limit) })
    }

    /// Waits for the first of them. Nothing is lost when the future is dropped.
    pub(crate) async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        let over = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = over => {}
        }
    }
}
