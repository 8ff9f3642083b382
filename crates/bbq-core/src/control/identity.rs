//! How identities of `bbq-wire`, which knows no serde, look in named MessagePack. For `#[serde(with = "..")]`.

use bbq_wire::id::MAX_KEY_BYTES;
use bbq_wire::{EntityId, Key, NodeUid};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
struct Uid {
    node: u32,
    incarnation: u64,
}

impl From<NodeUid> for Uid {
    fn from(uid: NodeUid) -> Self {
        Self { node: uid.node, incarnation: uid.incarnation }
    }
}

impl From<Uid> for NodeUid {
    fn from(uid: Uid) -> Self {
        Self { node: uid.node, incarnation: uid.incarnation }
    }
}

/// A key is a number or a string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum AnyKey {
    Number(u64),
    Text(String),
}

impl From<&Key> for AnyKey {
    fn from(key: &Key) -> Self {
        match key {
            Key::Number(number) => Self::Number(*number),
            Key::Text(text) => Self::Text((**text).to_owned()),
        }
    }
}

impl AnyKey {
    fn checked<E: serde::de::Error>(self) -> Result<Key, E> {
        match self {
            Self::Number(number) => Ok(number.into()),
            Self::Text(text) if text.len() <= MAX_KEY_BYTES => Ok(text.into()),
            Self::Text(text) => Err(E::invalid_length(text.len(), &"a key of at most 64 bytes")),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Entity {
    kind: u32,
    key: AnyKey,
}

pub(crate) mod uid {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(uid: &NodeUid, to: S) -> Result<S::Ok, S::Error> {
        Uid::from(*uid).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeUid, D::Error> {
        Uid::deserialize(from).map(NodeUid::from)
    }
}

pub(crate) mod optional_uid {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(uid: &Option<NodeUid>, to: S) -> Result<S::Ok, S::Error> {
        uid.map(Uid::from).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NodeUid>, D::Error> {
        Ok(Option::<Uid>::deserialize(from)?.map(NodeUid::from))
    }
}

pub(crate) mod uids {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(uids: &[NodeUid], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(uids.iter().map(|uid| Uid::from(*uid)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<NodeUid>, D::Error> {
        Ok(Vec::<Uid>::deserialize(from)?.into_iter().map(NodeUid::from).collect())
    }
}

pub(crate) mod key {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(key: &Key, to: S) -> Result<S::Ok, S::Error> {
        AnyKey::from(key).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        AnyKey::deserialize(from)?.checked()
    }
}

pub(crate) mod optional_key {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(key: &Option<Key>, to: S) -> Result<S::Ok, S::Error> {
        key.as_ref().map(AnyKey::from).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Key>, D::Error> {
        Option::<AnyKey>::deserialize(from)?.map(AnyKey::checked).transpose()
    }
}

pub(crate) mod entity {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(entity: &EntityId, to: S) -> Result<S::Ok, S::Error> {
        Entity { kind: entity.kind, key: (&entity.key).into() }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EntityId, D::Error> {
        let Entity { kind, key } = Entity::deserialize(from)?;
        Ok(EntityId::new(kind, key.checked::<D::Error>()?))
    }
}

/// Named MessagePack: fields that a reader does not know are skipped, and missing ones may have a default.
///
/// Only for types of this crate and of its shells, which are plain data: encoding them cannot fail.
#[must_use]
pub fn encode_named(value: &impl Serialize) -> bytes::Bytes {
    rmp_serde::to_vec_named(value).expect("plain data of known length always encodes").into()
}

/// The reverse of [`encode_named`].
///
/// # Errors
/// The bytes are not such a value.
pub fn decode_named<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    if bytes.is_empty() {
        return Err(rmp_serde::decode::Error::custom("nothing to decode"));
    }
    rmp_serde::from_slice(bytes)
}
