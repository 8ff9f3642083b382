//! The parsed model of a set of proto files: what the generators and the checks read.

use std::fmt;

use protox::prost_reflect::{DescriptorPool, FileDescriptor};

use crate::finding::{Finding, Location};
use crate::syntax::{Rate, fnv1a_32};
use crate::work;

/// Full name of the message that means "nothing".
pub(crate) const EMPTY: &str = "google.protobuf.Empty";

/// What a `service` of a proto file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Stateless, addressed by name.
    Service,
    /// Stateful, addressed by type and key.
    Entity,
    /// Implemented by clients.
    Client,
}

/// When the state of an entity is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Save {
    /// After every turn that changed it.
    Turn,
    /// At most this many milliseconds after a change.
    Interval(u32),
    /// When the entity asks for it.
    Manual,
}

/// What becomes of an entity whose handler panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Created again from its stored state.
    FromState,
    /// Stopped.
    Stop,
}

/// The declared state of an entity.
#[derive(Clone, PartialEq, Debug)]
pub struct State {
    /// Full name of the message; the name as written when there is no such message.
    pub message: String,
    /// When it is written.
    pub save: Save,
}

/// A service, an entity type or a client interface.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Full name, `chat.Room`.
    pub full_name: String,
    /// Name without package, `Room`.
    pub name: String,
    /// Package, may be empty.
    pub package: String,
    /// Name of its proto file as other files import it.
    pub file: String,
    /// What it is.
    pub kind: Kind,
    /// Methods in the order of the file.
    pub methods: Vec<Method>,
    /// Entities only.
    pub state: Option<State>,
    /// Most waiting messages; 0 = not said.
    pub mailbox: u32,
    /// Stops after so many milliseconds without a message; 0 = never.
    pub idle_ms: u32,
    /// What a panic does.
    pub restart: Restart,
    /// Comment above it, without the slashes.
    pub doc: String,
    /// Where its name is.
    pub at: Location,
}

/// A method of a [`Service`].
#[derive(Clone, PartialEq, Debug)]
pub struct Method {
    /// Name in the proto file, `Say`.
    pub name: String,
    /// Wire id.
    pub id: u32,
    /// The id was written, not hashed.
    pub explicit_id: bool,
    /// Full name of the request message.
    pub request: String,
    /// Full name of the reply message.
    pub reply: String,
    /// Clients may call it.
    pub client: bool,
    /// Nobody waits for an answer.
    pub oneway: bool,
    /// May come back to an entity that waits.
    pub reentrant: bool,
    /// Default deadline in milliseconds; 0 = that of the framework.
    pub timeout_ms: u32,
    /// Limit per session.
    pub rate: Option<Rate>,
    /// Clients may call it as often as they like, and somebody said so.
    pub unlimited: bool,
    /// Largest request from a client; 0 = the limit of the gate.
    pub max_bytes: u32,
    /// Comment above it, without the slashes.
    pub doc: String,
    /// Where its name is.
    pub at: Location,
}

/// A message, or a nested one.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Full name, `chat.SayRequest`.
    pub full_name: String,
    /// Fields in the order of the file.
    pub fields: Vec<Field>,
    /// Numbers that must not be used again, both ends included.
    pub reserved: Vec<(u32, u32)>,
    /// Comment above it, without the slashes.
    pub doc: String,
    /// Where its name is.
    pub at: Location,
}

/// A field of a [`Message`].
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Name in the proto file.
    pub name: String,
    /// Number on the wire.
    pub number: u32,
    /// Type as in a proto file: `string`, `repeated chat.Item`, `map<string, int32>`.
    pub kind: String,
    /// The message or enum it refers to, also as the value of a map.
    pub refers_to: Option<String>,
    /// Where its name is.
    pub at: Location,
}

/// An enum.
#[derive(Clone, PartialEq, Debug)]
pub struct Enum {
    /// Full name.
    pub full_name: String,
    /// Names and numbers in the order of the file.
    pub values: Vec<(String, i32)>,
    /// Numbers that must not be used again, both ends included.
    pub reserved: Vec<(i32, i32)>,
    /// Where its name is.
    pub at: Location,
}

/// A set of proto files, compiled. Made by [`crate::compile`].
#[derive(Clone)]
pub struct Schema {
    /// Services of all files, in the order of the files.
    pub services: Vec<Service>,
    /// Messages of all files but those of Google, nested ones after the one that holds them.
    pub messages: Vec<Message>,
    /// Enums of all files but those of Google.
    pub enums: Vec<Enum>,
    /// The encoded `FileDescriptorSet`, imports included, without source info.
    pub descriptor: Vec<u8>,
    /// Paths of the files that were read, for `cargo:rerun-if-changed`.
    pub read: Vec<std::path::PathBuf>,
    pub(crate) pool: DescriptorPool,
    /// The same as `descriptor`, with source info.
    pub(crate) with_source: Vec<u8>,
    /// What the options get wrong; [`crate::check`] adds to it.
    pub(crate) findings: Vec<Finding>,
}

impl Service {
    /// Hash of the full name: what stands for the type in ids and on the wire.
    #[must_use]
    pub fn type_id(&self) -> u32 {
        fnv1a_32(&self.full_name)
    }
}

impl Method {
    /// The request is `google.protobuf.Empty`.
    #[must_use]
    pub fn takes_nothing(&self) -> bool {
        self.request == EMPTY
    }

    /// The reply is `google.protobuf.Empty`.
    #[must_use]
    pub fn returns_nothing(&self) -> bool {
        self.reply == EMPTY
    }
}

impl Schema {
    /// The message with this full name.
    #[must_use]
    pub fn message(&self, full_name: &str) -> Option<&Message> {
        self.messages.iter().inspect(|_| work::step()).find(|message| message.full_name == full_name)
    }

    /// The files that code is generated from: all but Google's and those that only hold options.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileDescriptor> + '_ {
        self.pool.files().filter(|file| !is_framework_file(file))
    }
}

/// Files that never turn into code of a user.
pub(crate) fn is_framework_file(file: &FileDescriptor) -> bool {
    let only_options = file.name() == "bbq.proto" && file.messages().len() == 0;
    file.name().starts_with("google/protobuf/") || file.name() == "gobbq/options.proto" || only_options
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("services", &self.services)
            .field("messages", &self.messages)
            .field("enums", &self.enums)
            .finish_non_exhaustive()
    }
}
