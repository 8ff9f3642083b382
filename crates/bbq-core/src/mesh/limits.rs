//! The limits of a mesh, and what happens at each.

use std::time::Duration;

/// Every limit of [`super::Mesh`]. The defaults suit a process with a million entities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls without an answer yet, in and out together; more are answered `BUSY`.
    pub calls: usize,
    /// Messages waiting until one entity is found; more calls are answered `BUSY`, other messages dropped.
    pub waiting_per_entity: usize,
    /// Messages waiting until their entities are found, all together; as above.
    pub waiting: usize,
    /// Places of entities on other nodes that are remembered; the oldest idle one is forgotten.
    pub routes: usize,
    /// Messages waiting to leave for one node; more calls are answered `BUSY`. Other messages, which cannot be refused,
    /// may be four times as many; more are lost, which is logged as an error.
    pub outbox: usize,
    /// Nodes with which frames are exchanged; those of more are dropped.
    pub streams: usize,
    /// Frames sent to one node and not acknowledged; more wait in the outbox.
    pub window_frames: usize,
    /// Bytes of these; more wait in the outbox.
    pub window_bytes: usize,
    /// So many frames are acknowledged at once.
    pub ack_frames: u64,
    /// Fewer frames are acknowledged after this, unless a frame goes back earlier.
    pub ack_wait: Duration,
    /// After this without an acknowledgement of anything a node is asked how far it has come.
    pub ack_timeout: Duration,
    /// First pause before it is asked again; doubles up to [`Limits::longest_ask_pause`].
    pub ask_pause: Duration,
    /// Longest pause between two such questions.
    pub longest_ask_pause: Duration,
    /// Links with one node at a time; more are closed. Two arise when both ends connect at once.
    pub links_per_peer: usize,
    /// Watches by or on entities of other nodes; more are ignored, so that `Gone` may be missing after a crash.
    pub watches: usize,
    /// Groups of entities here whose gates are remembered; what is said to more of them goes to every gate.
    pub groups: usize,
    /// Entities in the slots of one directory; more are refused with `RESOURCE_EXHAUSTED`.
    pub directory: usize,
    /// Questions parked while a directory collects reports; more are answered "ask again".
    pub parked: usize,
    /// Dead nodes that are remembered, to refuse their links; the oldest is forgotten.
    pub dead: usize,
    /// A call whose caller waits for ever ends after this with `DEADLINE_EXCEEDED`.
    pub longest_call: Duration,
    /// How long the new owner of a slot waits for reports before it activates entities that nobody reported.
    pub report_wait: Duration,
    /// How often the new owner asks again for a report.
    pub report_retry: Duration,
    /// After this without an answer the slot owner is asked again.
    pub locate_retry: Duration,
    /// After this without an answer a node is told again to activate an entity.
    pub activate_retry: Duration,
    /// So often is it told; then the askers get `UNAVAILABLE`.
    pub activate_tries: u32,
    /// First pause before a bounced call is tried again; doubles up to [`Limits::longest_pause`].
    pub first_pause: Duration,
    /// Longest pause between two tries.
    pub longest_pause: Duration,
    /// Time between two pings on a link.
    pub ping: Duration,
    /// Pings in a row after which a link on which nothing arrived is closed.
    pub missed_pings: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 1_000_000,
            waiting_per_entity: 256,
            waiting: 65_536,
            routes: 1_000_000,
            outbox: 65_536,
            streams: 65_536,
            window_frames: 65_536,
            window_bytes: 8 << 20,
            ack_frames: 64,
            ack_wait: Duration::from_millis(5),
            ack_timeout: Duration::from_millis(500),
            ask_pause: Duration::from_millis(100),
            longest_ask_pause: Duration::from_secs(2),
            links_per_peer: 4,
            watches: 1_000_000,
            groups: 1_000_000,
            directory: 16_000_000,
            parked: 65_536,
            dead: 4096,
            longest_call: Duration::from_secs(3600),
            report_wait: Duration::from_secs(1),
            report_retry: Duration::from_millis(250),
            locate_retry: Duration::from_secs(1),
            activate_retry: Duration::from_secs(1),
            activate_tries: 5,
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(500),
            ping: Duration::from_secs(1),
            missed_pings: 3,
        }
    }
}
