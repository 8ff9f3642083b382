//! The compat listener from outside: clients that speak the original's protocol, one of them the original itself.
#![expect(clippy::unwrap_used, reason = "tests; clippy.toml exempts only functions marked #[test]")]
#![expect(clippy::print_stdout, reason = "says what was skipped and why")]

mod cluster;
mod kcp_client;
mod original;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bbq_wire::compat::{CallType, CompatFrame, GATE_SERVICE, Header, MAX_COMPAT_FRAME, RequestType, ServiceType};
use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

use cluster::{Cluster, hello, text};
use kcp_client::KcpClient;

/// Nothing that the tests wait for takes this long.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it should not take that long")
}

enum Wire {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Kcp(Box<KcpClient>),
}

struct Client {
    wire: Wire,
    read: BytesMut,
}

impl Client {
    async fn tcp(address: SocketAddr) -> Self {
        Self { wire: Wire::Tcp(TcpStream::connect(address).await.unwrap()), read: BytesMut::new() }
    }

    async fn websocket(address: SocketAddr) -> Self {
        let uri = format!("ws://{address}/");
        let (socket, _) = ClientBuilder::new().uri(&uri).unwrap().connect().await.unwrap();
        Self { wire: Wire::WebSocket(Box::new(socket)), read: BytesMut::new() }
    }

    async fn kcp(address: SocketAddr) -> Self {
        Self { wire: Wire::Kcp(Box::new(KcpClient::connect(address).await)), read: BytesMut::new() }
    }

    async fn send(&mut self, bytes: Bytes) {
        match &mut self.wire {
            Wire::Tcp(stream) => stream.write_all(&bytes).await.unwrap(),
            Wire::WebSocket(socket) => {
                poll_fn(|cx| Pin::new(&mut **socket).poll_ready(cx)).await.unwrap();
                Pin::new(&mut **socket).start_send(Message::binary(bytes)).unwrap();
                poll_fn(|cx| Pin::new(&mut **socket).poll_flush(cx)).await.unwrap();
            }
            Wire::Kcp(client) => client.send(&bytes),
        }
    }

    /// None: closed.
    async fn receive(&mut self) -> Option<CompatFrame> {
        loop {
            if let Some(frame) = CompatFrame::split(&mut self.read, MAX_COMPAT_FRAME).unwrap() {
                return Some(CompatFrame::decode(&frame).unwrap());
            }
            match &mut self.wire {
                Wire::Tcp(stream) => {
                    if soon(stream.read_buf(&mut self.read)).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
                Wire::WebSocket(socket) => {
                    let message = soon(poll_fn(|cx| Pin::new(&mut **socket).poll_next(cx))).await?.ok()?;
                    if message.is_close() {
                        return None;
                    }
                    self.read.extend_from_slice(message.as_payload());
                }
                Wire::Kcp(client) => self.read.extend_from_slice(&soon(client.receive()).await),
            }
        }
    }

    async fn ask(&mut self, header: Header, body: Bytes) -> CompatFrame {
        self.send(CompatFrame { header, body }.to_bytes()).await;
        self.receive().await.unwrap()
    }

    async fn register(&mut self) -> u64 {
        let answer = self.ask(header(GATE_SERVICE, "RegisterClient"), Bytes::new()).await;
        assert_eq!(answer.header.error_code, 0, "{:?}", answer.header);
        let mut reader = bbq_wire::codec::Reader::new(&answer.body[1..]);
        reader.varint().unwrap()
    }
}

fn header(service: &str, method: &str) -> Header {
    Header {
        request_id: format!("{service}/{method}"),
        timeout_ms: 5000,
        service_type: if service.is_empty() { ServiceType::Entity } else { ServiceType::Service },
        service: service.to_owned(),
        method: method.to_owned(),
        ..Header::default()
    }
}

async fn plays(mut client: Client) {
    let id = client.register().await;
    assert_ne!(id, 0);
    let ping = client.ask(header(GATE_SERVICE, "Ping"), Bytes::new()).await;
    assert_eq!((ping.header.error_code, ping.body.len()), (0, 0));

    let push = client.ask(header("exampb.EchoSvc2Service", "SayHello"), hello("one")).await;
    assert_eq!((&*push.header.service, push.header.call_type), ("exampb.ClientEntity", CallType::OneWay));
    assert_eq!((push.header.dst_entity, text(&push.body)), (id, "push:one".to_owned()));
    let answer = client.receive().await.unwrap();
    assert_eq!((answer.header.request_type, text(&answer.body)), (RequestType::Response, "service:one".to_owned()));

    let entity = Header { dst_entity: 5, ..header("", "SayHello") };
    let asked = client.ask(entity, hello("two")).await;
    assert_eq!((asked.header.call_type, text(&asked.body)), (CallType::Unary, "ask:two".to_owned()));
    let answer = client.ask(asked.header.response(), hello("I am fine")).await;
    assert_eq!((answer.header.error_code, text(&answer.body)), (0, "I am fine".to_owned()));

    let large = "x".repeat(30_000);
    client
        .send(CompatFrame { header: header("exampb.EchoSvc2Service", "SayHello"), body: hello(&large) }.to_bytes())
        .await;
    assert_eq!(text(&client.receive().await.unwrap().body).len(), large.len() + 5);
    assert_eq!(text(&client.receive().await.unwrap().body).len(), large.len() + 8);
}

#[tokio::test]
async fn a_client_of_the_original_plays_over_every_transport() {
    let cluster = Cluster::start().await;
    plays(Client::tcp(cluster.listen()).await).await;
    plays(Client::websocket(cluster.listen()).await).await;
    plays(Client::kcp(cluster.kcp()).await).await;
}

#[tokio::test]
async fn a_client_that_asks_for_much_before_it_reads_gets_everything() {
    let cluster = Cluster::start().await;
    for mut client in [Client::websocket(cluster.listen()).await, Client::kcp(cluster.kcp()).await] {
        client.register().await;
        let body = hello(&"x".repeat(30_000));
        for n in 0..30 {
            let header = Header { request_id: n.to_string(), ..header("exampb.EchoSvc2Service", "SayHello") };
            client.send(CompatFrame { header, body: body.clone() }.to_bytes()).await;
        }
        let mut answers = 0;
        while answers < 30 {
            let frame = client.receive().await.unwrap();
            answers += u32::from(frame.header.request_type == RequestType::Response);
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read() {
    let cluster = Cluster::start().await;
    let mut client = Client::tcp(cluster.listen()).await;
    client.register().await;
    let pings = CompatFrame { header: header(GATE_SERVICE, "Ping"), body: Bytes::new() }.to_bytes().repeat(1000);
    let Wire::Tcp(stream) = &mut client.wire else { return };
    let mut sent = 0_usize;
    while tokio::time::timeout(Duration::from_millis(500), stream.write_all(&pings)).await.is_ok() {
        sent += pings.len();
        assert!(sent < 256 << 20, "somebody keeps all the answers");
    }
}

#[tokio::test]
async fn the_session_ends_with_its_connection() {
    let cluster = Cluster::start().await;
    let mut client = Client::websocket(cluster.listen()).await;
    client.register().await;
    assert_eq!(cluster.gate.stats().await.attached, 1);
    drop(client);
    cluster.until(|stats| stats.connections == 0 && stats.attached + stats.detached == 0).await;
}

#[tokio::test]
async fn frames_that_come_in_pieces_and_together_are_understood() {
    let cluster = Cluster::start().await;
    let mut client = Client::tcp(cluster.listen()).await;
    let register = CompatFrame { header: header(GATE_SERVICE, "RegisterClient"), body: Bytes::new() }.to_bytes();
    for byte in &register {
        client.send(Bytes::copy_from_slice(&[*byte])).await;
    }
    assert_eq!(client.receive().await.unwrap().header.error_code, 0);
    let ping = CompatFrame { header: header(GATE_SERVICE, "Ping"), body: Bytes::new() }.to_bytes();
    client.send(ping.repeat(100).into()).await;
    for _ in 0..100 {
        assert_eq!(client.receive().await.unwrap().header.error_code, 0);
    }
}

#[tokio::test]
async fn damaged_and_oversized_frames_end_the_connection() {
    let cluster = Cluster::start().await;
    // Not a frame; longer than allowed before registering; a page; the native protocol.
    for bytes in [&b"\x03\0\0\0"[..], b"\x04\0\0\0\x09\0\0\0", b"\0\0\0\x01", b"GEX / HTTP/1.1\r\n\r\n", b"BBQ1"] {
        let mut client = Client::tcp(cluster.listen()).await;
        client.send(Bytes::from_static(bytes)).await;
        client.wire.shut().await;
        while client.read.len() < 4096 {
            let Wire::Tcp(stream) = &mut client.wire else { return };
            if soon(stream.read_buf(&mut client.read)).await.unwrap_or(0) == 0 {
                break;
            }
        }
    }
    cluster.until(|stats| stats.connections == 0).await;
    let mut client = Client::tcp(cluster.listen()).await;
    client.register().await;
    client.send(Bytes::from_static(b"\xff\xff\xff\x7f")).await;
    assert!(client.receive().await.is_none());
}

#[tokio::test]
async fn who_does_not_register_in_time_is_sent_away() {
    let cluster = Cluster::with(|config| config.machine.opening = Duration::from_millis(50)).await;
    for mut client in [Client::tcp(cluster.listen()).await, Client::websocket(cluster.listen()).await] {
        assert!(client.receive().await.is_none());
    }
}

#[tokio::test]
async fn strangers_that_send_no_first_segment_get_no_conversation() {
    let cluster = Cluster::start().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for bytes in [&[0; 10][..], &[0; 24][..], &[82; 24][..]] {
        socket.send_to(bytes, cluster.kcp()).await.unwrap();
    }
    // Datagrams over loopback keep their order: when this one is answered, those before were looked at.
    let mut client = Client::kcp(cluster.kcp()).await;
    client.register().await;
    assert_eq!(cluster.gate.stats().await.accepted, 1);
}

#[tokio::test]
async fn whoever_forges_an_address_cannot_flood_it() {
    let cluster = Cluster::start().await;
    let mut client = KcpClient::connect(cluster.kcp()).await;
    client.send(&CompatFrame { header: header(GATE_SERVICE, "RegisterClient"), body: Bytes::new() }.to_bytes());
    let datagrams = client.deaf().await;
    println!("{datagrams} datagrams");
    assert!((1..=4).contains(&datagrams), "{datagrams} for one");
    cluster.until(|stats| stats.connections == 0).await;
}

impl Wire {
    async fn shut(&mut self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.shutdown().await;
        }
    }
}
