//! The rooms that have somebody in them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gobbq::prelude::*;

use crate::chat::{DirectoryEntity, RoomList, RoomSize};

/// Most rooms that are known at a time; new ones beyond it are not listed until others are empty.
const MAX_ROOMS: usize = 1000;
/// Most rooms in one list.
const MAX_LISTED: usize = 50;

/// Members by room. Only in memory: each room reports again when it wakes up or changes.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    rooms: BTreeMap<String, u32>,
}

impl Directory {
    fn set(&mut self, room: String, members: u32) {
        if members == 0 {
            self.rooms.remove(&room);
        } else if self.rooms.len() < MAX_ROOMS || self.rooms.contains_key(&room) {
            self.rooms.insert(room, members);
        }
    }

    fn busiest(&self) -> Vec<RoomSize> {
        let mut rooms: Vec<(&String, &u32)> = self.rooms.iter().collect();
        rooms.sort_by_key(|(_, members)| Reverse(**members));
        let sizes = rooms.into_iter().take(MAX_LISTED);
        sizes.map(|(room, members)| RoomSize { room: room.clone(), members: *members, ..Default::default() }).collect()
    }
}

impl DirectoryEntity for Directory {
    fn new(_: &EntityId) -> Self {
        Self::default()
    }

    async fn report(&mut self, _: &Ctx, req: RoomSize) -> Result<()> {
        self.set(req.room, req.members);
        Ok(())
    }

    async fn list(&mut self, _: &Ctx) -> Result<RoomList> {
        Ok(RoomList { rooms: self.busiest(), ..Default::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(directory: &Directory) -> Vec<(String, u32)> {
        directory.busiest().into_iter().map(|size| (size.room, size.members)).collect()
    }

    #[test]
    fn the_busiest_room_comes_first_and_an_empty_one_is_not_listed() {
        let mut directory = Directory::default();
        for (room, members) in [("a", 1), ("b", 3), ("c", 2), ("a", 2), ("c", 0)] {
            directory.set(room.to_owned(), members);
        }
        assert_eq!(listed(&directory), [("b".to_owned(), 3), ("a".to_owned(), 2)]);
    }

    #[test]
    fn a_full_directory_updates_what_it_knows_and_takes_nothing_new() {
        let mut directory = Directory::default();
        for room in 0..=MAX_ROOMS {
            directory.set(format!("room{room:04}"), 1);
        }
        directory.set("room0007".to_owned(), 9);
        assert_eq!(directory.rooms.len(), MAX_ROOMS);
        assert_eq!(listed(&directory)[0], ("room0007".to_owned(), 9));
        assert_eq!(listed(&directory).len(), MAX_LISTED);
    }
}
