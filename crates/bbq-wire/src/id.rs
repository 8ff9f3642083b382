//! Identities that travel: entities, node incarnations, sessions. None of them contains a location.

use std::fmt;
use std::sync::Arc;

/// Longest string key of an entity, in bytes.
pub const MAX_KEY_BYTES: usize = 64;

/// Number of slots of the entity directory.
pub const SLOTS: u16 = 4096;

/// FNV-1a, 32 bits: the hash behind method ids and type ids (`spec/wire.md`, section 6).
#[must_use]
pub const fn fnv1a_32(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

/// The id of a method that has no `id` option, from `package.Service/Method`.
#[must_use]
pub const fn method_id(path: &str) -> u32 {
    let id = fnv1a_32(path) & 0x0fff_ffff;
    if id < 1024 { id + 1024 } else { id }
}

/// The key part of an [`EntityId`]: a number, or a string of at most [`MAX_KEY_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A numeric key, such as a player id.
    Number(u64),
    /// A text key, such as a room name.
    Text(Arc<str>),
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&Self> for Key {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// For logs: clients choose keys, and one with line breaks must not look like lines of ours.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.chars().any(char::is_control) => fmt::Debug::fmt(text, f),
            _ => fmt::Display::fmt(self, f),
        }
    }
}

/// A stateful entity, wherever it lives: `kind` is [`fnv1a_32`] of the full service name (`chat.Room`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId {
    /// Hash of the full name of the entity type.
    pub kind: u32,
    /// Which of its kind.
    pub key: Key,
}

impl EntityId {
    /// The id of `key` among the entities of `kind`.
    #[must_use]
    pub fn new(kind: u32, key: impl Into<Key>) -> Self {
        Self { kind, key: key.into() }
    }

    /// A hash that is the same in every process and version (FNV-1a 64 with a final mix). Slots, worlds and
    /// consistent routing are chosen by it.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.kind.to_le_bytes().into_iter().for_each(&mut eat);
        match &self.key {
            Key::Number(number) => {
                eat(0);
                number.to_le_bytes().into_iter().for_each(&mut eat);
            }
            Key::Text(text) => {
                eat(1);
                text.bytes().for_each(&mut eat);
            }
        }
        // FNV leaves the high bits of short inputs poorly mixed; this is the finaliser of MurmurHash3.
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }

    /// The directory slot, `0 .. SLOTS`.
    #[must_use]
    pub fn slot(&self) -> u16 {
        (self.stable_hash() % u64::from(SLOTS)) as u16
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}/{:?}", self.kind, self.key)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One incarnation of one node: a restarted process is another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeUid {
    /// The node, stable across restarts where the operator named it.
    pub node: u32,
    /// Grows with every start; given by the control plane.
    pub incarnation: u64,
}

impl fmt::Display for NodeUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.incarnation)
    }
}

impl fmt::Debug for NodeUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A player's presence at a gate; outlives connections. Unguessable only together with its ticket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_clients_write_no_lines_of_their_own_into_logs() {
        let shown = |key: &str| EntityId::new(7, key).to_string();
        assert_eq!(shown("lobby é"), "00000007/lobby é");
        assert_eq!(shown("\n\u{1b}[2J\0"), "00000007/\"\\n\\u{1b}[2J\\0\"");
        assert_eq!(Key::from("a\nb").to_string(), "a\nb", "what an application reads is the key itself");
    }

    #[test]
    fn hashes_are_the_published_ones_and_never_change() {
        assert_eq!(fnv1a_32(""), 0x811c_9dc5);
        assert_eq!(fnv1a_32("foobar"), 0xbf9c_f968);
        assert!(method_id("chat.Room/Say") >= 1024);
        let slots: std::collections::BTreeSet<u16> = (0..100_000).map(|n| EntityId::new(7, n).slot()).collect();
        assert_eq!(slots.len(), usize::from(SLOTS), "every slot is reached");
    }
}
