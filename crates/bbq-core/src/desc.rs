//! What is known of a service or entity type before anything runs: the generated code states it once, and the world,
//! the gate, `bbq check` and `bbq call` all read it from here.

use bbq_wire::id::fnv1a_32;

/// What a `service` of a proto file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Stateless, addressed by name, many instances, handlers run concurrently.
    Service,
    /// Stateful, addressed by type + key, one live copy in the cluster, one turn at a time.
    Entity,
    /// Implemented by clients: what servers may push to, or call on, a session.
    Client,
}

/// When the state of an entity is written to the Store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Save {
    /// After every turn that changed it; the reply leaves after the commit.
    Turn,
    /// At most this long after a change, in milliseconds. A crash loses what came since.
    Interval(u32),
    /// Only by `ctx.save()` and when the entity stops in an orderly way.
    Manual,
}

/// What becomes of an entity whose handler panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Created again from its stored state; waiting messages are kept. At most 5 times a minute, then as `Stop`.
    FromState,
    /// Stopped; waiting callers get `ENTITY_STOPPED`, the next call activates it anew.
    Stop,
}

/// A rate limit: a token bucket of `burst`, refilled with `per_second`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Sustained calls per second.
    pub per_second: f64,
    /// How many may come at once.
    pub burst: u32,
}

/// One method.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MethodDesc {
    /// Name in the proto, `Say`.
    pub name: &'static str,
    /// Wire id, see `spec/wire.md` section 6.
    pub id: u32,
    /// A client may call it through the gate.
    pub client: bool,
    /// Nobody waits for an answer.
    pub oneway: bool,
    /// May be called on an entity that waits for the caller (A -> B -> A), when that entity lends itself.
    pub reentrant: bool,
    /// Default deadline in milliseconds; 0 = the framework's.
    pub timeout_ms: u32,
    /// Limit per session at the gate.
    pub rate: Option<Rate>,
    /// Largest request body a client may send, in bytes; 0 = the gate's limit.
    pub max_bytes: u32,
}

/// The declared state of an entity type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StateDesc {
    /// Full name of the proto message.
    pub message: &'static str,
    /// When it is written.
    pub save: Save,
}

/// One service, entity type or client interface.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ServiceDesc {
    /// Full proto name, `chat.Room`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Methods in the order of the proto file; code refers to them by index.
    pub methods: &'static [MethodDesc],
    /// Declared state, entities only.
    pub state: Option<StateDesc>,
    /// Most messages waiting for one entity (or running in one service instance); more are answered `BUSY`.
    pub mailbox: u32,
    /// An entity without messages for this long stops, in milliseconds; 0 = never.
    pub idle_ms: u32,
    /// What a panic does.
    pub restart: Restart,
}

impl ServiceDesc {
    /// What most types want; generated code overrides single fields.
    pub const DEFAULT: Self = Self {
        name: "",
        kind: Kind::Service,
        methods: &[],
        state: None,
        mailbox: 1024,
        idle_ms: 0,
        restart: Restart::FromState,
    };

    /// The hash that stands for the type in ids and on the wire.
    #[must_use]
    pub const fn type_id(&self) -> u32 {
        fnv1a_32(self.name)
    }

    /// Index of the method with wire id `id`.
    #[must_use]
    pub fn method_index(&self, id: u32) -> Option<usize> {
        self.methods.iter().position(|method| method.id == id)
    }
}

impl MethodDesc {
    /// What most methods want; generated code overrides single fields.
    pub const DEFAULT: Self = Self {
        name: "",
        id: 0,
        client: false,
        oneway: false,
        reentrant: false,
        timeout_ms: 0,
        rate: None,
        max_bytes: 0,
    };
}
