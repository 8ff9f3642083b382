//! Which entities are here: what slot owners order, what worlds report.

use bbq_wire::mesh::{MAX_ENTITIES, Mesh as Message};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result};
// tidy: looked up by id; a report is sorted.
use hashbrown::HashMap;

use super::{Mesh, View};
use crate::world;

#[derive(Clone, Copy, Debug)]
struct Hosted {
    epoch: u64,
    active: bool,
    /// The slot owner that waits for [`Message::Activated`].
    asked: Option<(NodeUid, u64)>,
}

/// The entities of this process.
#[derive(Debug, Default)]
pub(super) struct Host {
    entities: HashMap<EntityId, Hosted>,
    /// Per slot, the newest owner's epoch that we know: orders of older owners are refused.
    fences: Vec<u32>,
}

impl Host {
    pub(super) fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether the entity is here, under this epoch; 0: any.
    pub(super) fn hosts(&self, entity: &EntityId, epoch: u64) -> bool {
        self.entities.get(entity).is_some_and(|hosted| epoch == 0 || epoch == hosted.epoch)
    }

    pub(super) fn raise_fences(&mut self, view: &View) {
        for (slot, owner) in view.slots.iter().enumerate() {
            self.raise_fence(slot, owner.epoch);
        }
    }

    fn raise_fence(&mut self, slot: usize, epoch: u32) {
        if self.fences.len() <= slot {
            self.fences.resize(slot + 1, 0);
        }
        if let Some(fence) = self.fences.get_mut(slot) {
            *fence = epoch.max(*fence);
        }
    }

    /// Whether an order with this epoch comes from an owner that has been replaced.
    fn is_outdated(&self, entity: &EntityId, epoch: u64) -> bool {
        let fence = self.fences.get(usize::from(entity.slot())).copied().unwrap_or_default();
        epoch >> 32 < u64::from(fence)
    }

    /// What is here of these slots, in order.
    fn report(&self, slots: &[(u16, u32)]) -> Vec<(EntityId, u64)> {
        let mut wanted = vec![false; usize::from(u16::MAX) + 1];
        slots.iter().for_each(|(slot, _)| wanted[usize::from(*slot)] = true);
        let here = self.entities.iter().filter(|(entity, _)| wanted[usize::from(entity.slot())]);
        let mut entries: Vec<(EntityId, u64)> = here.map(|(entity, hosted)| (entity.clone(), hosted.epoch)).collect();
        entries.sort_unstable();
        entries
    }
}

impl Mesh {
    /// A slot owner orders us to host an entity.
    pub(super) fn activate(&mut self, owner: NodeUid, corr: u64, entity: EntityId, epoch: u64) {
        if self.host.is_outdated(&entity, epoch) {
            let error = Error::new(Code::ABORTED, "the slot has a newer owner");
            return self.send(owner, Message::Activated { corr, entity, epoch, result: Err(error) });
        }
        self.host.raise_fence(usize::from(entity.slot()), (epoch >> 32) as u32);
        if self.config.worlds == 0 {
            let error = Error::new(Code::UNIMPLEMENTED, format!("node {} hosts no entities", self.config.me));
            return self.send(owner, Message::Activated { corr, entity, epoch, result: Err(error) });
        }
        match self.host.entities.get_mut(&entity) {
            Some(hosted) if hosted.active => {
                let epoch = hosted.epoch;
                self.send(owner, Message::Activated { corr, entity, epoch, result: Ok(()) });
            }
            Some(hosted) => hosted.asked = Some((owner, corr)),
            None => {
                self.host.entities.insert(entity.clone(), Hosted { epoch, active: false, asked: Some((owner, corr)) });
                let index = self.world_of(&entity);
                self.give_world(index, world::Input::Activate(entity, epoch));
            }
        }
    }

    /// A world has brought an entity to life, or failed to; also after it created one anew that had panicked.
    pub(super) fn world_activated(&mut self, entity: EntityId, epoch: u64, result: Result<()>) {
        let Some(hosted) = self.host.entities.get_mut(&entity) else { return };
        if hosted.epoch != epoch {
            return;
        }
        let (was_active, asked) = (std::mem::replace(&mut hosted.active, result.is_ok()), hosted.asked.take());
        if result.is_ok() {
            self.now_here(&entity, epoch);
        } else {
            self.host.entities.remove(&entity);
            self.no_longer_here(&entity, epoch);
        }
        match asked {
            Some((owner, corr)) => self.send(owner, Message::Activated { corr, entity, epoch, result }),
            None if was_active && result.is_err() => self.tell_owner_of_end(&entity, epoch),
            None => {}
        }
    }

    /// An entity has stopped.
    pub(super) fn world_deactivated(&mut self, entity: &EntityId, epoch: u64) {
        if self.host.entities.get(entity).is_none_or(|hosted| hosted.epoch != epoch) {
            return;
        }
        let asked = self.host.entities.remove(entity).and_then(|hosted| hosted.asked);
        match asked {
            Some((owner, corr)) => {
                let result = Err(Error::new(Code::UNAVAILABLE, "the entity stopped while it was activated"));
                self.send(owner, Message::Activated { corr, entity: entity.clone(), epoch, result });
            }
            None => self.tell_owner_of_end(entity, epoch),
        }
        self.no_longer_here(entity, epoch);
    }

    /// A node reports the end of an activation to us, the slot owner; or the slot owner ends a superseded one of ours.
    pub(super) fn deactivated(&mut self, from: NodeUid, entity: EntityId, epoch: u64) {
        let older = self.host.entities.get(&entity).is_some_and(|hosted| hosted.epoch <= epoch);
        if older && self.slot_owner(&entity) == Some(from) {
            let index = self.world_of(&entity);
            return self.give_world(index, world::Input::Supersede(entity, epoch));
        }
        self.directory.deactivated(from, &entity, epoch);
    }

    /// If this gets lost, the owner finds out when it is asked about the stale epoch.
    fn tell_owner_of_end(&mut self, entity: &EntityId, epoch: u64) {
        if let Some(owner) = self.slot_owner(entity) {
            self.send(owner, Message::Deactivated { entity: entity.clone(), epoch });
        }
    }

    /// A new slot owner asks what is here.
    pub(super) fn collect(&mut self, owner: NodeUid, corr: u64, slots: &[(u16, u32)]) {
        for (slot, epoch) in slots {
            self.host.raise_fence(usize::from(*slot), *epoch);
        }
        let entries = self.host.report(slots);
        let mut more = entries.len().div_ceil(MAX_ENTITIES).max(1) as u32;
        let mut chunks = entries.chunks(MAX_ENTITIES);
        while more > 0 {
            more -= 1;
            let entries = chunks.next().unwrap_or_default().to_vec();
            self.send(owner, Message::Report { corr, more, entries });
        }
    }
}
