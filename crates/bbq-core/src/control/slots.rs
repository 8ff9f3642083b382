//! Which proxy owns which slot of the entity directory.

use bbq_wire::NodeUid;
use bbq_wire::id::SLOTS;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::identity;

/// One slot of the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// Who holds the entries; `None`: there is no proxy at all.
    pub owner: Option<NodeUid>,
    /// Grows whenever the owner changes. `act_epoch = epoch << 32 | seq`.
    pub epoch: u32,
}

/// All [`SLOTS`] of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotTable {
    slots: Vec<Slot>,
}

/// As stored: the owners once, then per slot a big-endian u16 (index of the owner, counted from 1; 0 is nobody) and a
/// u32 (epoch).
#[derive(Serialize, Deserialize)]
struct Encoded {
    #[serde(with = "identity::uids")]
    owners: Vec<NodeUid>,
    slots: Bytes,
}

impl SlotTable {
    /// A table without owners. The epochs that it hands out are larger than `floor`.
    #[must_use]
    pub fn unowned(floor: u32) -> Self {
        Self { slots: vec![Slot { owner: None, epoch: floor }; usize::from(SLOTS)] }
    }

    /// The slot with this number; numbers wrap around at [`SLOTS`].
    #[must_use]
    pub fn slot(&self, number: u16) -> Slot {
        self.slots[usize::from(number % SLOTS)]
    }

    /// All slots by number.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Slot)> + '_ {
        (0..SLOTS).zip(self.slots.iter().copied())
    }

    /// The largest epoch that was handed out.
    #[must_use]
    pub fn highest(&self) -> u32 {
        self.slots.iter().map(|slot| slot.epoch).max().unwrap_or(0)
    }

    /// Gives every slot to its best proxy by rendezvous hash: only slots of proxies that came or went move.
    ///
    /// Returns whether anything changed.
    pub fn assign(&mut self, proxies: &[NodeUid]) -> bool {
        let mut changed = false;
        for (number, slot) in (0..SLOTS).zip(self.slots.iter_mut()) {
            let best = proxies.iter().copied().max_by_key(|uid| (score(*uid, number), *uid));
            if slot.owner != best {
                *slot = Slot { owner: best, epoch: slot.epoch.saturating_add(1) };
                changed = true;
            }
        }
        changed
    }

    /// The table that a cluster needs whose Store has seen epochs up to `floor`; `None`: this one will do.
    #[must_use]
    pub fn above(&self, floor: u32) -> Option<Self> {
        (self.highest() < floor).then(|| Self::unowned(floor))
    }

    /// The value below [`key::SLOTS`](super::key::SLOTS).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut owners: Vec<NodeUid> = self.slots.iter().filter_map(|slot| slot.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let mut slots = BytesMut::with_capacity(self.slots.len() * 6);
        for slot in &self.slots {
            let index = slot.owner.and_then(|owner| owners.binary_search(&owner).ok()).map_or(0, |index| index + 1);
            slots.put_u16(u16::try_from(index).expect("there are fewer owners than slots"));
            slots.put_u32(slot.epoch);
        }
        identity::encode_named(&Encoded { owners, slots: slots.freeze() })
    }

    /// The reverse of [`SlotTable::encode`].
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let Encoded { owners, slots: mut rest } = identity::decode_named(bytes).ok()?;
        let mut slots = Vec::with_capacity(usize::from(SLOTS));
        while rest.len() >= 6 && slots.len() < usize::from(SLOTS) {
            let (index, epoch) = (rest.get_u16(), rest.get_u32());
            let owner = match index {
                0 => None,
                _ => Some(*owners.get(usize::from(index) - 1)?),
            };
            slots.push(Slot { owner, epoch });
        }
        (slots.len() == usize::from(SLOTS)).then_some(Self { slots })
    }
}

/// Who may own slots, of all proxies with their weights: those that do not drain; better a draining one than none.
pub(crate) fn owners(proxies: impl Iterator<Item = (NodeUid, u32)> + Clone) -> Vec<NodeUid> {
    let willing: Vec<NodeUid> = proxies.clone().filter(|(_, weight)| *weight > 0).map(|(uid, _)| uid).collect();
    if willing.is_empty() { proxies.map(|(uid, _)| uid).collect() } else { willing }
}

impl Default for SlotTable {
    fn default() -> Self {
        Self::unowned(0)
    }
}

/// A node that comes back under its name gets its old slots: the incarnation does not count.
fn score(uid: NodeUid, slot: u16) -> u64 {
    let mut hash = (u64::from(uid.node) << 16 | u64::from(slot)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    // The finaliser of SplitMix64.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
