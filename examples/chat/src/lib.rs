//! Chat rooms: who is there, what was said, and a list of the rooms that are busy now.
//!
//! A [room](chat::RoomEntity) keeps its last lines and its members in the Store, written with every turn: a line that
//! was answered is never lost, and a room can move to another node while people talk in it.

use gobbq::prelude::*;

gobbq::include_proto!();

mod directory;

mod room;

#[cfg(feature = "bots")]
pub mod bots;

/// Longest name of a member, in characters.
pub const MAX_NAME: usize = 24;
/// Longest line, in characters.
pub const MAX_TEXT: usize = 500;
/// Lines that a room remembers; the oldest is forgotten first.
pub const MAX_HISTORY: usize = 100;
/// Most members of a room; more get `RESOURCE_EXHAUSTED`.
pub const MAX_MEMBERS: usize = 500;
/// Key of the one [directory](chat::DirectoryEntity).
pub const DIRECTORY: &str = "all";

/// What an [`App`](gobbq::App) needs to serve this example.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    vec![chat::RoomRef::entity::<room::Room>(), chat::DirectoryRef::entity::<directory::Directory>()]
}

/// Text of 1 to `most` characters, without what cannot be seen at its ends.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is empty, too long, or has control characters.
fn checked(what: &str, text: &str, most: usize) -> Result<String> {
    let text = text.trim();
    let refused = |why: String| Err(Error::new(Code::INVALID_ARGUMENT, why));
    match text.chars().count() {
        0 => refused(format!("{what} must not be empty")),
        length if length > most => refused(format!("{what} has {length} characters, the limit is {most}")),
        _ if text.chars().any(|char| char.is_control() && char != '\n') => {
            refused(format!("{what} has control characters"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str, most: usize) -> Option<Code> {
        checked("a text", text, most).err().map(|error| error.code)
    }

    #[test]
    fn text_is_trimmed_and_counted_in_characters() {
        assert_eq!(checked("a text", "  hällo \n", 5).unwrap(), "hällo");
        assert_eq!(code("hällo!", 5), Some(Code::INVALID_ARGUMENT));
        assert_eq!(code(" \t\n", 5), Some(Code::INVALID_ARGUMENT));
        assert_eq!(code("a\u{7}b", 5), Some(Code::INVALID_ARGUMENT));
        assert_eq!(code("a\nb", 5), None);
    }
}
