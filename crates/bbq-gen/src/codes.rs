//! The codes of findings, with what `bbq explain` says about them. A code never changes its meaning.

/// A code and its explanation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// `BBQ-0101`.
    pub code: &'static str,
    /// One line.
    pub title: &'static str,
    /// Why it matters and what to do.
    pub text: &'static str,
}

const fn code(code: &'static str, title: &'static str, text: &'static str) -> Code {
    Code { code, title, text }
}

/// All codes, in order. 01xx: one version of the files; 02xx: two versions.
pub const CODES: &[Code] = &[
    code(
        "BBQ-0100",
        "The file is not valid protobuf",
        "The proto compiler refuses it; the message says what it expected. Imports are looked up in the include paths; \
         `gobbq/options.proto` and `google/protobuf/*.proto` need none.",
    ),
    code(
        "BBQ-0101",
        "Two methods have the same id",
        "On the wire a method is its id, so an application cannot have two with the same. Give one of them an `id` \
         between 1 and 1023; if both are hashes, either of them.",
    ),
    code(
        "BBQ-0102",
        "Two services have the same type id",
        "The key of an entity holds a hash of the name of its type, and two names have the same hash. Rename one.",
    ),
    code(
        "BBQ-0103",
        "The method id is out of range",
        "Written ids are 1 .. 1023; larger numbers are hashes of `package.Service/Method`.",
    ),
    code(
        "BBQ-0104",
        "Not a duration, or not a rate",
        "A duration is one number and one unit: `250ms`, `3s`, `10m`, `1h`, `7d`. A rate is calls per second, minute or \
         hour, and optionally how many may come at once: `5/s`, `300/m burst 20`.",
    ),
    code(
        "BBQ-0105",
        "The state names no message",
        "`state` is the name of a message: of the same package, of an outer one, or with its package. The file with it \
         must be imported.",
    ),
    code(
        "BBQ-0106",
        "An option for entities on something else",
        "Services and clients have no state, no idle time and nothing to wait in. Set `kind: ENTITY`, or remove the option.",
    ),
    code(
        "BBQ-0107",
        "A method of a client, callable by clients",
        "Methods of a CLIENT service are implemented by clients and called by servers. Clients do not call each other.",
    ),
    code(
        "BBQ-0108",
        "A oneway method with a reply",
        "Nobody waits for the answer of a oneway method. Return `google.protobuf.Empty`.",
    ),
    code(
        "BBQ-0109",
        "A method without limits that clients may call",
        "Anybody with a client can call it as often as the connection allows. Set a `rate`; or say `unlimited: true` \
         when the general limit of the gate is enough.",
    ),
    code(
        "BBQ-0110",
        "A streaming method",
        "Calls have one request and one reply. For a stream to clients use a group or a CLIENT method, for one between \
         entities a watch.",
    ),
    code(
        "BBQ-0111",
        "A name that generated code needs for something else",
        "A service `Room` becomes `RoomEntity`, `RoomRef`, `RoomGlue` and `ROOM`, its methods become functions beside \
         hooks such as `on_init`. What is nested in a message `HttpInfo` lies in a module `http_info`, so that a `HTTPInfo` \
         cannot stand beside it. Rename the message, service or method.",
    ),
    code(
        "BBQ-0112",
        "Saving options that do not fit together",
        "`save` needs a `state`, and `interval` goes with `save: INTERVAL` only.",
    ),
    code(
        "BBQ-0113",
        "Limits that contradict each other or limit nobody",
        "`rate` and `unlimited` exclude each other; both, and `max_bytes`, speak of clients and need `client: true`.",
    ),
    code(
        "BBQ-0201",
        "A released method is gone",
        "Clients in the field still call it. Keep it until they are gone, then write a new snapshot; its id stays \
         reserved. Renaming is safe on the wire only when the method has an `id`.",
    ),
    code(
        "BBQ-0202",
        "A released service is gone",
        "Its name is in the keys of its entities and in the ids of its methods. Keep it until nothing uses it, then \
         write a new snapshot.",
    ),
    code(
        "BBQ-0203",
        "A released method has another request or reply",
        "Old callers send and expect the old message. Add fields to the message instead, or add a method.",
    ),
    code(
        "BBQ-0204",
        "A released method has another id",
        "Old callers use the old id. Set `id` back to what the message says.",
    ),
    code(
        "BBQ-0205",
        "The id of a released method is used by another",
        "A late caller of the old method would reach the new one. Choose an id that never was in use.",
    ),
    code(
        "BBQ-0206",
        "A field number with another meaning",
        "Stored states and old clients hold the old type under this number. Give the field a new number, and reserve \
         the old one.",
    ),
    code(
        "BBQ-0207",
        "A field was removed without reserving its number",
        "Somebody would use the number again, for bytes that still exist. Add `reserved 5;` to the message.",
    ),
    code(
        "BBQ-0208",
        "A field or enum value was renamed",
        "The bytes are the same; code that uses the name is not. Fine if it is a rename, wrong if the number is reused.",
    ),
    code(
        "BBQ-0209",
        "A service became something of another kind",
        "Entities are addressed by key, services by name, clients by session: no caller can follow. Use a new name.",
    ),
    code(
        "BBQ-0210",
        "An entity has another state message, or none",
        "What is stored would be read as something else. Change the fields of the message instead.",
    ),
    code(
        "BBQ-0211",
        "An enum value was removed without reserving its number",
        "The number is in stored states. Add `reserved 5;` to the enum.",
    ),
    code(
        "BBQ-0212",
        "Clients may no longer call a released method",
        "Those in the field still do. Keep `client: true` and answer an error until they are gone.",
    ),
];

/// The explanation of `BBQ-0101`.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}
