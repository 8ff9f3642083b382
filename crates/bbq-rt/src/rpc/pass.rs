//! How the two ends show each other that they know the secret of the cluster, after their hellos.

use std::io;

use bbq_core::control::{decode_named, encode_named};
use bbq_wire::proof::{Introduction, Nonce, Party, Protocol, Side};
use bbq_wire::{Code, Error, NodeUid};
use serde::{Deserialize, Serialize};

use super::{Connection, Frame, Kind, broken};
use crate::secret::Secret;

/// What opens the door of a center: the secret of a cluster, and which cluster.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Name of the cluster.
    pub cluster: String,
    /// Its secret.
    pub secret: Secret,
}

/// Body of a refusal.
#[derive(Serialize, Deserialize)]
struct Refusal {
    code: u32,
    message: String,
}

/// Why the two ends do not get together.
#[derive(Debug)]
pub(super) enum Closed {
    /// They know different secrets, or only one of them has one: trying again does not help.
    Refused(Error),
    Broken(io::Error),
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Closed {
    fn unauthenticated(why: &str) -> Self {
        Self::Refused(Error::new(Code::UNAUTHENTICATED, why))
    }
}

/// What both ends know after the hellos.
#[derive(Clone, Copy)]
pub(super) struct Nonces {
    pub(super) ours: Option<Nonce>,
    pub(super) theirs: Option<Nonce>,
}

impl Pass {
    fn introduction(&self, dialer: Nonce, acceptor: Nonce) -> Introduction<'_> {
        // Who asks a center is no node yet; the center is none.
        let party = |nonce| Party { uid: NodeUid::default(), nonce };
        let (dialer, acceptor) = (party(dialer), party(acceptor));
        Introduction { protocol: Protocol::Center, cluster: &self.cluster, dialer, acceptor }
    }
}

/// The client's side: proves first, then wants the proof of the server.
pub(super) async fn show(connection: &mut Connection, pass: Option<&Pass>, nonces: Nonces) -> Result<(), Closed> {
    let (pass, ours, theirs) = match (pass, nonces.ours, nonces.theirs) {
        (Some(pass), Some(ours), Some(theirs)) => (pass, ours, theirs),
        (None, _, None) => return Ok(()),
        (_, _, Some(_)) => {
            return Err(Closed::unauthenticated("the center has a secret of the cluster, and we have none"));
        }
        _ => return Err(Closed::unauthenticated("the center has no secret of the cluster, and we have one")),
    };
    let introduction = pass.introduction(ours, theirs);
    connection.push(Kind::Proof, 0, &pass.secret.prove(&introduction, Side::Dialer));
    let frame = connection.turn(true).await?;
    match frame.kind {
        Kind::Proof if pass.secret.accepts(&introduction, Side::Acceptor, &frame.body) => Ok(()),
        Kind::Proof => Err(Closed::unauthenticated("the center has another secret than we have")),
        Kind::Refused => Err(refusal(&frame)),
        kind => Err(Closed::Broken(broken(format!("a server sent {kind:?} instead of a proof")))),
    }
}

/// The server's side.
pub(super) async fn check(connection: &mut Connection, pass: Option<&Pass>, nonces: Nonces) -> Result<(), Closed> {
    let (pass, ours, theirs) = match (pass, nonces.ours, nonces.theirs) {
        (Some(pass), Some(ours), Some(theirs)) => (pass, ours, theirs),
        (None, _, None) => return Ok(()),
        (_, _, Some(_)) => {
            return Err(Closed::unauthenticated("you have a secret of the cluster, and the center has none"));
        }
        _ => return Err(Closed::unauthenticated("the cluster has a secret: set --cluster-secret-file")),
    };
    let introduction = pass.introduction(theirs, ours);
    let frame = connection.turn(true).await?;
    if frame.kind != Kind::Proof {
        return Err(Closed::unauthenticated("you did not prove that you know the secret of the cluster"));
    }
    if !pass.secret.accepts(&introduction, Side::Dialer, &frame.body) {
        return Err(Closed::unauthenticated(
            "your secret, or the name of your cluster, is another than that of the center",
        ));
    }
    connection.push(Kind::Proof, 0, &pass.secret.prove(&introduction, Side::Acceptor));
    Ok(())
}

/// What a server says before it closes.
pub(super) fn refuse(connection: &mut Connection, error: &Error) {
    let refusal = Refusal { code: error.code.0, message: error.message.to_string() };
    connection.push(Kind::Refused, 0, &encode_named(&refusal));
}

/// What a client makes of it.
pub(super) fn refusal(frame: &Frame) -> Closed {
    match decode_named::<Refusal>(&frame.body) {
        Ok(Refusal { code, message }) => Closed::Refused(Error::new(Code(code), message)),
        Err(error) => Closed::Broken(broken(error.to_string())),
    }
}
