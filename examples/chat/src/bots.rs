//! Members that are programs: they join a room and say something now and then, slowly enough for people to read.

use bbq_client::Client;
use gobbq::codegen::ServiceDesc;
use gobbq::codegen::buffa::Message;
use gobbq::prelude::*;

use crate::chat::{JoinRequest, ROOM, SayRequest};

const ROOMS: [&str; 3] = ["lobby", "arena", "help"];
const NAMES: [&str; 8] = ["Ada", "Grace", "Edsger", "Barbara", "Tony", "Radia", "Ken", "Lynn"];
const LINES: [&str; 16] = [
    "hello all",
    "anybody up for a round in the arena?",
    "just lost ten points to a wall",
    "who is first on the scoreboard?",
    "went through a tunnel and missed nothing",
    "good evening",
    "the one with the violet ship is good",
    "brb, coals need turning",
    "back",
    "is it me or was that a new build?",
    "nobody got kicked, nice",
    "how many are we tonight?",
    "that was close",
    "teach me to aim",
    "corn or peppers next?",
    "gg",
];
const ANSWER: Duration = Duration::from_secs(5);
/// Shortest pause between two lines, and how much longer it may get.
const PAUSE: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(25));

/// Talks until the client is closed. `n` is its number: it makes the bot's name, its room and what it says.
///
/// # Errors
/// What closed the client, or a room that refuses it.
pub async fn bot(client: Client, n: u64) -> Result<()> {
    let room = ROOMS[(n % ROOMS.len() as u64) as usize];
    // Each round starts one further on: bots with odd numbers only have all the names, too.
    let names = NAMES.len() as u64;
    let name = NAMES[((n + n / names) % names) as usize].to_owned();
    let mut random = n;
    join(&client, room, &name).await?;
    loop {
        let (shortest, spread) = PAUSE;
        tokio::time::sleep(shortest + spread.mul_f64(unit(&mut random))).await;
        let line = LINES[(unit(&mut random) * LINES.len() as f64) as usize % LINES.len()];
        let request = SayRequest { text: line.to_owned(), ..Default::default() };
        let said = client.call(method(&ROOM, "Say"), Some(room.into()), request.encode_to_bytes(), ANSWER).await;
        match said.map_err(|error| error.code) {
            // The room has forgotten us with our old session.
            Err(Code::FAILED_PRECONDITION) => join(&client, room, &name).await?,
            Err(Code::NOT_SENT) => return Ok(()),
            // Trouble of the network passes: the next line comes anyway.
            _ => {}
        }
    }
}

async fn join(client: &Client, room: &str, name: &str) -> Result<()> {
    let request = JoinRequest { name: name.to_owned(), ..Default::default() };
    client.call(method(&ROOM, "Join"), Some(room.into()), request.encode_to_bytes(), ANSWER).await?;
    Ok(())
}

fn method(desc: &ServiceDesc, name: &str) -> u32 {
    desc.methods.iter().find(|method| method.name == name).map_or(0, |method| method.id)
}

/// SplitMix64, in `0.0 .. 1.0`.
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
