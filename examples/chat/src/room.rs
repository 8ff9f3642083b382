//! One room.

use std::sync::Arc;

use gobbq::prelude::*;

use crate::chat::presence_change::Kind;
use crate::chat::{
    ChatClientRef, DirectoryRef, JoinReply, JoinRequest, Line, Member, PresenceChange, RoomEntity, RoomSize, RoomState,
    SayReply, SayRequest,
};
use crate::{DIRECTORY, MAX_HISTORY, MAX_MEMBERS, MAX_NAME, MAX_TEXT, checked};

/// The group of all members.
const ALL: &str = "all";
/// Longest name of a room.
const MAX_ROOM: usize = 32;

/// A room: all that it knows is its state.
#[derive(Debug)]
pub(crate) struct Room {
    name: String,
    state: RoomState,
}

impl RoomEntity for Room {
    fn new(id: &EntityId, state: RoomState) -> Self {
        Self { name: id.key.to_string(), state }
    }

    fn state(&self) -> &RoomState {
        &self.state
    }

    /// Members of a room that moved here, or slept, are still members: only the watches and the group are new.
    async fn on_init(&mut self, ctx: &Ctx) -> Result<()> {
        if !is_room_name(&self.name) {
            let why = "names of rooms have 1 to 32 of the characters a-z, 0-9 and -";
            return Err(Error::new(Code::INVALID_ARGUMENT, why));
        }
        for client in self.state.members.iter().map(client_of) {
            ctx.watch_client(&client)?;
            ctx.group(ALL).join(&client);
        }
        self.report(ctx);
        Ok(())
    }

    async fn join(&mut self, ctx: &Ctx, req: JoinRequest) -> Result<JoinReply> {
        let client = ctx.require_client()?;
        let wish = checked("a name", &req.name, MAX_NAME)?;
        let name = match self.member(&client) {
            Some(member) => member.name.clone(),
            None => self.admit(ctx, &client, &wish)?,
        };
        let members = self.state.members.iter().map(|member| member.name.clone()).collect();
        Ok(JoinReply { name, history: self.state.history.clone(), members, ..Default::default() })
    }

    async fn say(&mut self, ctx: &Ctx, req: SayRequest) -> Result<SayReply> {
        let client = ctx.require_client()?;
        let text = checked("a line", &req.text, MAX_TEXT)?;
        let Some(member) = self.member(&client) else {
            return Err(Error::new(Code::FAILED_PRECONDITION, "join the room first"));
        };
        let line = self.state.add(member.name.clone(), text, ctx.unix_ms());
        let reply = SayReply { number: line.number, unix_ms: line.unix_ms, ..Default::default() };
        // Leaves together with the reply, after the line has been stored.
        ctx.group(ALL).except(&client).client::<ChatClientRef>().said(line).tell();
        Ok(reply)
    }

    async fn leave(&mut self, ctx: &Ctx) -> Result<()> {
        let client = ctx.require_client()?;
        ctx.unwatch_client(&client)?;
        self.dismiss(ctx, &client);
        Ok(())
    }

    async fn on_session(&mut self, ctx: &Ctx, client: ClientRef, event: SessionEvent) -> Result<()> {
        match event {
            SessionEvent::Left => self.dismiss(ctx, &client),
            SessionEvent::Detached => self.announce(ctx, &client, Kind::KIND_AWAY),
            SessionEvent::Resumed => self.announce(ctx, &client, Kind::KIND_BACK),
        }
        Ok(())
    }
}

impl Room {
    fn member(&self, client: &ClientRef) -> Option<&Member> {
        self.state.members.iter().find(|member| member.session == client.session.0)
    }

    fn admit(&mut self, ctx: &Ctx, client: &ClientRef, wish: &str) -> Result<String> {
        if self.state.members.len() >= MAX_MEMBERS {
            return Err(Error::new(Code::RESOURCE_EXHAUSTED, "this room is full"));
        }
        let name = self.state.free_name(wish);
        self.state.members.push(member_of(client, name.clone()));
        ctx.watch_client(client)?;
        ctx.group(ALL).join(client);
        self.announce(ctx, client, Kind::KIND_JOINED);
        self.report(ctx);
        Ok(name)
    }

    fn dismiss(&mut self, ctx: &Ctx, client: &ClientRef) {
        ctx.group(ALL).leave(client);
        self.announce(ctx, client, Kind::KIND_LEFT);
        self.state.members.retain(|member| member.session != client.session.0);
        self.report(ctx);
    }

    /// Tells all others what became of a member.
    fn announce(&self, ctx: &Ctx, client: &ClientRef, kind: Kind) {
        let Some(member) = self.member(client) else { return };
        let change = PresenceChange { kind: kind.into(), name: member.name.clone(), ..Default::default() };
        ctx.group(ALL).except(client).client::<ChatClientRef>().presence(change).tell();
    }

    fn report(&self, ctx: &Ctx) {
        let members = self.state.members.len() as u32;
        let size = RoomSize { room: self.name.clone(), members, ..Default::default() };
        ctx.entity::<DirectoryRef>(DIRECTORY).report(size).tell();
    }
}

impl RoomState {
    /// Numbers a line and keeps it; forgets the oldest beyond [`MAX_HISTORY`].
    fn add(&mut self, from: String, text: String, unix_ms: u64) -> Line {
        let number = self.next.max(1);
        self.next = number + 1;
        let line = Line { number, from, text, unix_ms, ..Default::default() };
        self.history.push(line.clone());
        let old = self.history.len().saturating_sub(MAX_HISTORY);
        self.history.drain(..old);
        line
    }

    /// The wish, or the wish with the first number behind it that nobody has.
    fn free_name(&self, wish: &str) -> String {
        let taken = |name: &str| self.members.iter().any(|member| member.name == name);
        let numbered = (2..).map(|number| format!("{wish} {number}"));
        let mut names = std::iter::once(wish.to_owned()).chain(numbered);
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}

fn is_room_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ROOM).contains(&name.len()) && name.bytes().all(allowed)
}

fn member_of(client: &ClientRef, name: String) -> Member {
    Member {
        name,
        session: client.session.0,
        gate_node: client.gate.node,
        gate_incarnation: client.gate.incarnation,
        account: client.account.to_string(),
        ..Default::default()
    }
}

fn client_of(member: &Member) -> ClientRef {
    let account = Arc::from(member.account.as_str());
    let mut client = ClientRef { gate: Default::default(), session: Default::default(), account };
    (client.gate.node, client.gate.incarnation) = (member.gate_node, member.gate_incarnation);
    client.session.0 = member.session;
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one_and_the_last_hundred_are_kept() {
        let mut state = RoomState::default();
        for number in 1..=250 {
            assert_eq!(state.add("ann".to_owned(), "hello".to_owned(), 0).number, number);
        }
        assert_eq!(state.history.len(), MAX_HISTORY);
        assert_eq!(state.history.first().map(|line| line.number), Some(151));
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let mut state = RoomState::default();
        for wanted in ["ann", "ann 2", "ann 3"] {
            let name = state.free_name("ann");
            assert_eq!(name, wanted);
            state.members.push(Member { name, ..Default::default() });
        }
        assert_eq!(state.free_name("bob"), "bob");
    }

    #[test]
    fn names_of_rooms_are_short_and_plain() {
        for (name, fine) in [("lobby", true), ("room-7", true), ("", false), ("Lobby", false), ("a b", false)] {
            assert_eq!(is_room_name(name), fine, "{name:?}");
        }
        assert!(!is_room_name(&"a".repeat(MAX_ROOM + 1)));
    }

    #[test]
    fn a_member_keeps_the_session_that_it_stands_for() {
        let mut client = client_of(&Member { account: "guest:ann".to_owned(), ..Default::default() });
        (client.gate.node, client.gate.incarnation, client.session.0) = (3, 9, 77);
        assert_eq!(client_of(&member_of(&client, "ann".to_owned())), client);
    }
}
