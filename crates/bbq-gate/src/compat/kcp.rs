//! KCP over UDP: one task reads the socket and hands datagrams to the conversations, one per address.
//!
//! KCP knows no opening and no close: a conversation begins with the first data of a stranger, and ends when nothing was
//! heard for thirty seconds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::kcp::{KCP_OVERHEAD, get_conv};
use bytes::BytesMut;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::Entrance;
use super::conversation::{Conversation, Datagrams, Seat};
use super::line::Line;

/// Datagrams that wait for their conversation; more are dropped, KCP sends them again.
const DATAGRAMS: usize = 256;
/// Largest datagram that is read.
const MAX_DATAGRAM: usize = 2048;
/// KCP's command that carries data.
const PUSH: u8 = 81;

/// All conversations of a socket.
struct Room {
    socket: Arc<UdpSocket>,
    seats: HashMap<SocketAddr, mpsc::Sender<BytesMut>>,
    per_address: HashMap<IpAddr, usize>,
    leaving: mpsc::Sender<SocketAddr>,
}

/// Reads the socket for ever.
pub(super) async fn accept(socket: UdpSocket, entrance: Arc<Entrance>) {
    let (leaving, mut left) = mpsc::channel(1024);
    let socket = Arc::new(socket);
    let mut room = Room { socket: socket.clone(), seats: HashMap::new(), per_address: HashMap::new(), leaving };
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok((len, peer)) => room.take(&buffer[..len], peer, &entrance).await,
                // An ICMP answer to something that we sent.
                Err(error) => tracing::debug!(%error, "cannot receive"),
            },
            peer = left.recv() => if let Some(peer) = peer { room.leave(peer) },
        }
    }
}

impl Room {
    async fn take(&mut self, datagram: &[u8], peer: SocketAddr, entrance: &Entrance) {
        if datagram.len() < KCP_OVERHEAD {
            return;
        }
        if let Some(seat) = self.seats.get(&peer) {
            // Full: dropped, KCP sends it again. Closed: its end will be heard of.
            let _ = seat.try_send(BytesMut::from(datagram));
            return;
        }
        if !is_first(datagram) || !self.has_room(peer.ip(), entrance) {
            return;
        }
        let Some(session) = entrance.open(peer).await else { return };
        let (seat, datagrams) = mpsc::channel(DATAGRAMS);
        // The channel is empty.
        let _ = seat.try_send(BytesMut::from(datagram));
        self.seats.insert(peer, seat);
        *self.per_address.entry(peer.ip()).or_default() += 1;
        let out = Datagrams { socket: self.socket.clone(), peer };
        let seat = Seat { peer, leaving: self.leaving.clone() };
        let line = Line::Kcp(Box::new(Conversation::new(get_conv(datagram), out, datagrams, seat)));
        tokio::spawn(session.run(std::future::ready(Ok(Some(line)))));
    }

    fn has_room(&self, ip: IpAddr, entrance: &Entrance) -> bool {
        let of_address = self.per_address.get(&ip).copied().unwrap_or(0);
        self.seats.len() < entrance.config.kcp_sessions && of_address < entrance.config.kcp_sessions_per_address
    }

    fn leave(&mut self, peer: SocketAddr) {
        self.seats.remove(&peer);
        if let Some(count) = self.per_address.get_mut(&peer.ip()) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&peer.ip());
            }
        }
    }
}

/// Whether a conversation may begin with it: data, numbered 0.
fn is_first(datagram: &[u8]) -> bool {
    datagram.get(4) == Some(&PUSH) && datagram.get(12..16) == Some(&[0; 4])
}
