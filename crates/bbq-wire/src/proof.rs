//! What two processes of a cluster compute to show each other that they know its secret (`spec/mesh.md`, "Secret").
//!
//! Each draws a nonce for the connection, and authenticates a text in which both nonces, both nodes and the name of the
//! cluster stand. The text differs by side and by protocol, so that no proof is of use in another place; and by the
//! nonces, so that none is of use twice. This module writes the text; the key and the hash are the shell's.

use crate::codec::Sink;
use crate::id::NodeUid;

/// Bytes of a nonce, and of a proof.
pub const PROOF_BYTES: usize = 32;

/// Fresh random bytes for one connection.
pub type Nonce = [u8; PROOF_BYTES];

/// In which protocol a proof is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Links between nodes.
    Mesh,
    /// Between a process and its center.
    Center,
}

/// Which end of the connection gives a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The end that connected. It proves first.
    Dialer,
    /// The end that accepted.
    Acceptor,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Party {
    /// The node; zero where there is none yet: a process that asks a center, and the center.
    pub uid: NodeUid,
    /// Its nonce.
    pub nonce: Nonce,
}

/// All that a proof is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Introduction<'a> {
    /// The protocol.
    pub protocol: Protocol,
    /// Name of the cluster.
    pub cluster: &'a str,
    /// The end that connected.
    pub dialer: Party,
    /// The end that accepted.
    pub acceptor: Party,
}

impl Introduction<'_> {
    /// What `side` authenticates with the secret.
    #[must_use]
    pub fn text(&self, side: Side) -> Vec<u8> {
        let mut text = Vec::with_capacity(128 + self.cluster.len());
        text.put(match self.protocol {
            Protocol::Mesh => b"gobbq mesh proof 1\0",
            Protocol::Center => b"gobbq center proof 1\0",
        });
        text.u8(match side {
            Side::Dialer => 0,
            Side::Acceptor => 1,
        });
        for party in [&self.dialer, &self.acceptor] {
            text.put(&party.nonce);
            text.node(party.uid);
        }
        text.str(self.cluster);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_differ_in_everything_that_a_proof_is_about() {
        let party = |node, byte| Party { uid: NodeUid { node, incarnation: 1 }, nonce: [byte; PROOF_BYTES] };
        let base = Introduction { protocol: Protocol::Mesh, cluster: "c", dialer: party(1, 1), acceptor: party(2, 2) };
        let mut texts = vec![base.text(Side::Dialer), base.text(Side::Acceptor)];
        let others = [
            Introduction { protocol: Protocol::Center, ..base },
            Introduction { cluster: "d", ..base },
            Introduction { dialer: party(3, 1), ..base },
            Introduction { dialer: party(1, 3), ..base },
            Introduction { acceptor: party(3, 2), ..base },
            Introduction { acceptor: party(2, 3), ..base },
            Introduction { dialer: base.acceptor, acceptor: base.dialer, ..base },
        ];
        texts.extend(others.iter().flat_map(|other| [other.text(Side::Dialer), other.text(Side::Acceptor)]));
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }
}
