//! Fuzzes a decoder on a stable toolchain: mutates the vectors of `spec/vectors` for a while.
//!
//! ```text
//! cargo run --release --bin native -- [--seconds 10] [--seed 1]
//! ```
//! The same seed tries the same inputs in the same order. A finding is a panic of the target; the input is written to
//! `finding-<target>.bin` in the working directory and the program ends with 1.

use std::time::{Duration, Instant};

use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/vectors");
/// Inputs tried between two looks at the clock.
const BATCH: u64 = 10_000;

/// Runs `target` on mutations of the vectors in `spec/vectors/<vectors>.json`, as the command line says.
pub fn run(name: &str, vectors: &str, target: fn(&[u8])) {
    let seconds = argument("--seconds").unwrap_or(10);
    let seed = argument("--seed").unwrap_or(1);
    let seeds = corpus(vectors);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (start, mut inputs) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        (0..BATCH).for_each(|_| attempt(name, target, &mutate(&seeds, &mut random)));
        inputs += BATCH;
    }
    eprintln!("{name}, seed {seed}: {inputs} inputs in {seconds} s, no finding");
}

fn attempt(name: &str, target: fn(&[u8]), input: &[u8]) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        let file = format!("finding-{name}.bin");
        match std::fs::write(&file, input) {
            Ok(()) => eprintln!("finding: {file}"),
            Err(error) => eprintln!("finding, not written to {file}: {error}; {input:02x?}"),
        }
        std::process::exit(1);
    }
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map(|value| value.parse().expect("a number follows the option"))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let text =
        std::fs::read_to_string(format!("{VECTORS}/{name}.json")).expect("the vectors are part of the repository");
    let vectors: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let lists = ["valid", "lenient", "invalid"].iter().filter_map(|list| vectors.get(list)?.as_array());
    lists.flatten().filter_map(|vector| from_hex(vector.get("hex")?.as_str()?)).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(seeds);
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 => input.truncate(at),
            1 => input.insert(at, random.byte()),
            2 => input.extend(random.pick(seeds)),
            3 => drop(input.splice(at..at, random.pick(seeds))),
            4 if at < input.len() => drop(input.remove(at)),
            5 => overwrite(&mut input, at, *[0, 1, 0x7f, 0x80, 0xff].get(random.below(5)).unwrap_or(&0)),
            _ => overwrite(&mut input, at, random.byte()),
        }
    }
    if random.below(2) == 0 {
        mend_length(&mut input);
    }
    input
}

/// Makes a one-byte length right again, so that the inside of the frame is looked at.
fn mend_length(input: &mut [u8]) {
    if let (Ok(len @ 0..0x80), Some(first)) = (u8::try_from(input.len().saturating_sub(1)), input.first_mut()) {
        *first = len;
    }
}

fn overwrite(input: &mut [u8], at: usize, byte: u8) {
    if let Some(slot) = input.get_mut(at) {
        *slot = byte;
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn pick(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        seeds.get(self.below(seeds.len())).cloned().unwrap_or_default()
    }
}
