//! The secret of a cluster: who knows it may connect.
//!
//! It keeps strangers out; it neither hides nor protects what travels afterwards. The protocol is in `spec/mesh.md`,
//! "Secret"; the hash is HMAC-SHA256, compared in constant time.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use bbq_wire::proof::{Introduction, Nonce, PROOF_BYTES, Side};

/// Shortest secret, in bytes: a proof can be tried against guesses, so that it must not be a word.
pub const MIN_SECRET: usize = 16;
/// Longest secret, in bytes.
pub const MAX_SECRET: usize = 4096;

/// What all processes of a cluster know. Never shown.
#[derive(Clone)]
pub struct Secret(Arc<hmac::Key>);

/// Why bytes cannot be a secret.
#[derive(Debug)]
pub enum BadSecret {
    /// Less than [`MIN_SECRET`] or more than [`MAX_SECRET`] bytes.
    Length(usize),
    /// The file cannot be read.
    File(std::io::Error),
}

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "it has {bytes} bytes; {MIN_SECRET} to {MAX_SECRET} are possible"),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BadSecret {}

impl Secret {
    /// A secret; white space at its ends does not count, so that a file may end in a newline.
    ///
    /// # Errors
    /// [`BadSecret::Length`].
    pub fn new(bytes: &[u8]) -> Result<Self, BadSecret> {
        let bytes = bytes.trim_ascii();
        match bytes.len() {
            MIN_SECRET..=MAX_SECRET => Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))),
            length => Err(BadSecret::Length(length)),
        }
    }

    /// The secret in a file.
    ///
    /// # Errors
    /// As [`BadSecret`] says.
    pub fn read(path: &Path) -> Result<Self, BadSecret> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(BadSecret::File)?;
        // A file that is something else entirely is not read to its end.
        file.take(2 * MAX_SECRET as u64).read_to_end(&mut bytes).map_err(BadSecret::File)?;
        Self::new(&bytes)
    }

    /// The proof of one side.
    #[must_use]
    pub fn prove(&self, introduction: &Introduction<'_>, side: Side) -> [u8; PROOF_BYTES] {
        let tag = hmac::sign(&self.0, &introduction.text(side));
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(tag.as_ref());
        proof
    }

    /// Whether a proof is that of this side. Takes as long for a wrong one as for a right one.
    #[must_use]
    pub fn accepts(&self, introduction: &Introduction<'_>, side: Side, proof: &[u8]) -> bool {
        hmac::verify(&self.0, &introduction.text(side), proof).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A nonce that nobody has seen.
///
/// # Panics
/// When the system gives no random bytes: a process without them cannot prove anything.
#[must_use]
pub fn nonce() -> Nonce {
    let mut nonce = [0; PROOF_BYTES];
    rand::fill(&mut nonce).expect("the system gives random bytes");
    nonce
}

#[cfg(test)]
mod tests {
    use bbq_wire::NodeUid;
    use bbq_wire::proof::{Party, Protocol};

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes()).unwrap()
    }

    fn party(node: u32) -> Party {
        Party { uid: NodeUid { node, incarnation: 1 }, nonce: nonce() }
    }

    #[test]
    fn a_proof_is_good_for_one_side_of_one_connection_of_those_who_know_the_secret() {
        let ours = secret("a secret of the cluster");
        let here = Introduction { protocol: Protocol::Mesh, cluster: "c", dialer: party(1), acceptor: party(2) };
        let proof = ours.prove(&here, Side::Dialer);
        assert!(ours.accepts(&here, Side::Dialer, &proof));
        assert!(!ours.accepts(&here, Side::Acceptor, &proof), "reflected");
        let later = Introduction { acceptor: party(2), ..here };
        assert!(!ours.accepts(&later, Side::Dialer, &proof), "replayed");
        assert!(!secret("a secret of the clusteR").accepts(&here, Side::Dialer, &proof));
        for wrong in [&[][..], &proof[..31], &[0; 32], &[&proof[..], &[0]].concat()] {
            assert!(!ours.accepts(&here, Side::Dialer, wrong));
        }
    }

    #[test]
    fn secrets_are_long_enough_and_never_shown() {
        assert!(matches!(Secret::new(b"short"), Err(BadSecret::Length(5))));
        assert!(matches!(Secret::new(&[b' '; 100]), Err(BadSecret::Length(0))));
        assert!(matches!(Secret::new(&[b'x'; MAX_SECRET + 1]), Err(BadSecret::Length(_))));
        let ours = secret("0123456789abcdef");
        assert_eq!(format!("{ours:?}"), "Secret(..)");
        let here = Introduction { protocol: Protocol::Center, cluster: "c", dialer: party(0), acceptor: party(0) };
        let proof = secret(" 0123456789abcdef\n").prove(&here, Side::Acceptor);
        assert!(ours.accepts(&here, Side::Acceptor, &proof), "white space around it does not count");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `BBQ_WRITE_VECTORS=1 cargo test -p bbq-rt vectors` writes them anew; otherwise they are compared.
    #[test]
    fn proofs_are_those_of_the_vectors() {
        let secret_text = "correct horse battery staple";
        let ours = secret(secret_text);
        let dialer = Party { uid: NodeUid { node: 1, incarnation: 2 }, nonce: [0xa5; PROOF_BYTES] };
        let acceptor = Party { uid: NodeUid { node: 3, incarnation: 1 << 40 }, nonce: [0x5a; PROOF_BYTES] };
        let nobody = NodeUid::default();
        let introductions = [
            ("mesh", Introduction { protocol: Protocol::Mesh, cluster: "dev", dialer, acceptor }),
            (
                "center",
                Introduction {
                    protocol: Protocol::Center,
                    cluster: "dev",
                    dialer: Party { uid: nobody, ..dialer },
                    acceptor: Party { uid: nobody, ..acceptor },
                },
            ),
        ];
        let vectors = introductions.map(|(protocol, introduction)| {
            let side = |side| {
                serde_json::json!({
                    "text": hex(&introduction.text(side)),
                    "proof": hex(&ours.prove(&introduction, side)),
                })
            };
            serde_json::json!({
                "protocol": protocol,
                "cluster": introduction.cluster,
                "secret": secret_text,
                "dialer": { "uid": introduction.dialer.uid.to_string(), "nonce": hex(&dialer.nonce) },
                "acceptor": { "uid": introduction.acceptor.uid.to_string(), "nonce": hex(&acceptor.nonce) },
                "dialer_proves": side(Side::Dialer),
                "acceptor_proves": side(Side::Acceptor),
            })
        });
        let text = format!("{:#}\n", serde_json::Value::from(vectors.to_vec()));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/proof.json");
        if std::env::var_os("BBQ_WRITE_VECTORS").is_some() {
            return std::fs::write(path, text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text, "{path} is out of date: run with BBQ_WRITE_VECTORS=1 and look at the difference");
    }
}
