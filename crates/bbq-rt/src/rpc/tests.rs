use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with what it got, and remembers the order in which calls began.
#[derive(Default)]
struct Echo {
    begun: std::sync::Mutex<Vec<Bytes>>,
    running: AtomicUsize,
}

impl Handler for Echo {
    fn call(&self, body: Bytes) -> BoxFuture<'static, Bytes> {
        self.begun.lock().unwrap().push(body.clone());
        self.running.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if body.as_ref() == b"never" {
                std::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            body
        })
    }

    fn watch(&self, body: Bytes) -> BoxFuture<'static, (Bytes, Option<mpsc::Receiver<Bytes>>)> {
        Box::pin(async move {
            let (sender, receiver) = mpsc::channel(8);
            tokio::spawn(async move {
                for number in 0..3_u8 {
                    let _ = sender.send(Bytes::copy_from_slice(&[number])).await;
                }
                sender.closed().await;
            });
            (body, Some(receiver))
        })
    }
}

async fn server() -> (Server, Arc<Echo>) {
    let echo = Arc::new(Echo::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Server::start(listener, None, echo.clone()).unwrap(), echo)
}

fn client(server: &Server, patience: Duration) -> Client {
    Client::new(server.local_addr().to_string(), ClientConfig { patience, ..ClientConfig::default() })
}

#[tokio::test]
async fn calls_are_pipelined_and_begin_in_the_order_in_which_they_were_sent() {
    let (server, echo) = server().await;
    let client = client(&server, PATIENCE);
    let bodies: Vec<Bytes> = (0..500_u32).map(|number| number.to_be_bytes().to_vec().into()).collect();
    let calls: Vec<_> = bodies
        .iter()
        .map(|body| {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move { client.call(body, true).await })
        })
        .collect();
    for (call, body) in calls.into_iter().zip(&bodies) {
        assert_eq!(call.await.unwrap(), Ok(body.clone()));
    }
    assert_eq!(*echo.begun.lock().unwrap(), bodies);
}

#[tokio::test]
async fn a_call_without_an_answer_ends_when_patience_does() {
    let (server, _echo) = server().await;
    let client = client(&server, Duration::from_millis(200));
    let answer = timeout(PATIENCE, client.call("never".into(), true)).await.unwrap();
    assert!(matches!(answer, Err(CallError::Unknown(_))), "{answer:?}");
    assert_eq!(client.call("next".into(), true).await, Ok("next".into()));
    let large = Bytes::from(vec![0; MAX_FRAME_BYTES]);
    assert!(matches!(client.call(large, true).await, Err(CallError::NotSent(_))));
}

#[tokio::test]
async fn without_a_server_nothing_is_sent_and_the_reason_is_told() {
    let (server, _echo) = server().await;
    let client = client(&server, Duration::from_millis(300));
    let address = server.local_addr();
    server.shutdown().await;
    let answer = timeout(PATIENCE, client.call("hello".into(), true)).await.unwrap();
    let Err(CallError::NotSent(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains(&address.to_string()), "{why}");
}

#[tokio::test]
async fn a_client_comes_back_by_itself_and_its_watches_end_with_the_connection() {
    let (first, _echo) = server().await;
    let address = first.local_addr();
    let client = client(&first, PATIENCE);
    let mut watch = client.watch("hello".into()).await.unwrap();
    for expected in [&b"hello"[..], &[0], &[1], &[2]] {
        assert_eq!(timeout(PATIENCE, watch.recv()).await.unwrap().unwrap(), expected);
    }
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call("never".into(), false).await }
    });
    assert_eq!(client.call("before".into(), true).await, Ok("before".into()));
    first.shutdown().await;
    assert_eq!(timeout(PATIENCE, watch.recv()).await.unwrap(), None);
    let lost = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert!(matches!(lost, Err(CallError::Unknown(_))), "a call that must not be repeated is not: {lost:?}");
    let call = tokio::spawn(async move { client.call("after".into(), true).await });
    let listener = TcpListener::bind(address).await.unwrap();
    let _second = Server::start(listener, None, Arc::new(Echo::default())).unwrap();
    assert_eq!(timeout(PATIENCE, call).await.unwrap().unwrap(), Ok("after".into()));
}

fn pass(secret: &str, cluster: &str) -> Option<Pass> {
    Some(Pass { cluster: cluster.into(), secret: crate::secret::Secret::new(secret.as_bytes()).unwrap() })
}

async fn guarded_server() -> (Server, Arc<Echo>) {
    let echo = Arc::new(Echo::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Server::start(listener, pass(OURS, "c"), echo.clone()).unwrap(), echo)
}

const OURS: &str = "the secret of this cluster";

/// What becomes of a call of a client with this pass.
async fn call_with(server: &Server, pass: Option<Pass>) -> Result<Bytes, CallError> {
    let config = ClientConfig { patience: PATIENCE, pass, ..ClientConfig::default() };
    let client = Client::new(server.local_addr().to_string(), config);
    let answer = timeout(PATIENCE, client.call("hello".into(), true)).await.expect("at once, not when patience ends");
    if let Err(CallError::Refused(error)) = &answer {
        assert_eq!(client.refusal().as_ref(), Some(error));
        let mut watch = client.watch("hello".into()).await.unwrap();
        assert_eq!(timeout(PATIENCE, watch.recv()).await, Ok(None));
    }
    answer
}

#[tokio::test]
async fn a_center_with_a_secret_serves_those_who_know_it() {
    let (server, echo) = guarded_server().await;
    assert_eq!(call_with(&server, pass(OURS, "c")).await, Ok("hello".into()));
    assert_eq!(echo.running.load(Ordering::Relaxed), 1);
    let strangers = [None, pass("the secret of another cluster", "c"), pass(OURS, "d")];
    for stranger in strangers {
        let answer = call_with(&server, stranger).await;
        let Err(CallError::Refused(error)) = answer else { panic!("{answer:?}") };
        assert_eq!(error.code, bbq_wire::Code::UNAUTHENTICATED, "{error}");
    }
    let (open, open_echo) = self::server().await;
    let answer = call_with(&open, pass(OURS, "c")).await;
    assert!(matches!(answer, Err(CallError::Refused(_))), "a center without a secret is not trusted: {answer:?}");
    assert_eq!((echo.running.load(Ordering::Relaxed), open_echo.running.load(Ordering::Relaxed)), (1, 0));
}

/// A connection as bytes: everything that the server says until it closes.
async fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the server closes");
    said
}

#[tokio::test]
async fn calls_before_a_proof_overheard_proofs_and_large_frames_open_nothing() {
    let (server, echo) = guarded_server().await;
    // A client that is overheard.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (through, behind) = (relay.local_addr().unwrap().to_string(), server.local_addr());
    let overhearing = tokio::spawn(async move {
        let (near, _) = relay.accept().await.unwrap();
        let far = TcpStream::connect(behind).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (near.into_split(), far.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
        // The call is the third frame; with it the proof has been said.
        while !heard.windows(9).any(|window| window == b"overheard") {
            let count = from_client.read(&mut buffer).await.unwrap();
            heard.extend_from_slice(&buffer[..count]);
            to_server.write_all(&buffer[..count]).await.unwrap();
        }
        (heard, from_client, to_server)
    });
    let config = ClientConfig { patience: PATIENCE, pass: pass(OURS, "c"), ..ClientConfig::default() };
    let client = Client::new(through, config);
    assert_eq!(timeout(PATIENCE, client.call("overheard".into(), false)).await.unwrap(), Ok("overheard".into()));
    let (heard, ..) = overhearing.await.unwrap();
    assert_eq!(echo.running.load(Ordering::Relaxed), 1);

    let hello = frame(Kind::Hello, 0, &encode_named(&Hello { protocol: PROTOCOL, nonce: Some([7; 32]) }));
    let call = frame(Kind::Call, 0, b"let me in");
    let wrong = frame(Kind::Proof, 0, &[0; 32]);
    for bytes in [heard, [&hello[..], &call].concat(), [&hello[..], &wrong, &call].concat()] {
        let said = exchange(&server, &bytes).await;
        let mut inbox = BytesMut::from(&said[..]);
        let mut kinds = Vec::new();
        while let Some(frame) = cut(&mut inbox, MAX_FRAME_BYTES).unwrap() {
            kinds.push(frame.kind);
        }
        assert_eq!(kinds, [Kind::Hello, Kind::Refused]);
    }
    // No memory for whoever has not said who it is.
    exchange(&server, &[&hello[..], &(1_u32 << 20).to_be_bytes(), &[Kind::Proof as u8; 64]].concat()).await;
    assert_eq!(echo.running.load(Ordering::Relaxed), 1, "nothing was carried out");
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let (server, _echo) = guarded_server().await;
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(server.local_addr()).await.unwrap());
    }
    let begun = std::time::Instant::now();
    assert_eq!(call_with(&server, pass(OURS, "c")).await, Ok("hello".into()));
    assert!(begun.elapsed() < Duration::from_secs(4), "it did not wait until the others were late");
    drop(silent);
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_cut_off() {
    let (server, echo) = server().await;
    let call = |len: u32, kind: u8| [&len.to_be_bytes()[..], &[kind], &[0; 8]].concat();
    let hello = |protocol| {
        let body = encode_named(&Hello { protocol, nonce: None });
        [&(u32::try_from(body.len()).unwrap() + 9).to_be_bytes()[..], &[0; 9], &body].concat()
    };
    let broken = [
        call(9, 1),                                         // no hello
        hello(PROTOCOL + 1),                                // another protocol
        [hello(PROTOCOL), call(u32::MAX, 1)].concat(),      // a frame of 4 GiB
        [hello(PROTOCOL), call(8, 1)].concat(),             // shorter than its head
        [hello(PROTOCOL), call(9, 77)].concat(),            // an unknown kind
        [hello(PROTOCOL), call(9, 2)].concat(),             // what only servers say
        b"GET / HTTP/1.1\r\nHost: center\r\n\r\n".to_vec(), // somebody's browser
    ];
    for bytes in broken {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        // Data that was not read turns the end into a reset.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server closes");
    }
    assert_eq!(echo.running.load(Ordering::Relaxed), 0);
}

fn cut_all(inbox: &mut BytesMut, frames: &mut Vec<(u8, u64, Bytes)>) -> bool {
    loop {
        match cut(inbox, MAX_FRAME_BYTES) {
            Ok(Some(Frame { kind, id, body })) => frames.push((kind as u8, id, body)),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

proptest! {
    #[test]
    fn frames_come_out_the_same_however_the_stream_is_cut(
        frames in prop::collection::vec((0_u8..11, any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)), 0..10),
        piece in 1_usize..40,
    ) {
        let mut stream = BytesMut::new();
        for (kind, id, body) in &frames {
            stream.put_u32(u32::try_from(body.len() + HEAD_BYTES).unwrap());
            stream.put_u8(*kind);
            stream.put_u64(*id);
            stream.put_slice(body);
        }
        let (mut inbox, mut found) = (BytesMut::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            inbox.extend_from_slice(bytes);
            prop_assert!(cut_all(&mut inbox, &mut found));
        }
        let expected: Vec<_> = frames.into_iter().map(|(kind, id, body)| (kind, id, Bytes::from(body))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        cut_all(&mut BytesMut::from(bytes.as_slice()), &mut Vec::new());
        let _ = Call::decode(&bytes);
        let _ = Answer::decode(&bytes);
    }
}

#[test]
fn a_length_reserves_nothing() {
    let mut inbox = BytesMut::from(&[0, 0x7f, 0xff, 0xff, 1][..]);
    assert!(cut(&mut inbox, MAX_FRAME_BYTES).unwrap().is_none());
    assert!(inbox.capacity() < 100);
}

/// A peer that speaks in bytes.
async fn raw(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

async fn ends(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server ends the connection");
}

fn frame(kind: Kind, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((body.len() + HEAD_BYTES) as u32).to_be_bytes().to_vec();
    bytes.push(kind as u8);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn hello() -> Vec<u8> {
    frame(Kind::Hello, 0, &encode_named(&Hello { protocol: PROTOCOL, nonce: None }))
}

#[tokio::test]
async fn peers_that_never_say_hello_keep_nobody_out_for_long() {
    let (server, _echo) = server().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(raw(&server).await);
    }
    // Above the limit the oldest make room; the others are closed when their time is over.
    let client = client(&server, PATIENCE);
    assert_eq!(client.call("here".into(), true).await, Ok("here".into()));
    for stream in &mut silent {
        ends(stream).await;
    }
}

#[tokio::test]
async fn a_first_frame_that_is_large_or_no_hello_ends_the_connection_before_it_is_read() {
    let (server, echo) = server().await;
    let mut large = raw(&server).await;
    large.write_all(&((MAX_OPENING_BYTES + 1) as u32).to_be_bytes()).await.unwrap();
    ends(&mut large).await;
    let mut rude = raw(&server).await;
    rude.write_all(&frame(Kind::Call, 1, b"body")).await.unwrap();
    ends(&mut rude).await;
    assert!(echo.begun.lock().unwrap().is_empty());
}

#[tokio::test]
async fn watches_of_a_connection_are_bounded_and_a_number_names_one_of_them() {
    let (server, _echo) = server().await;
    let watches = |ids: Vec<u64>| ids.into_iter().fold(hello(), |all, id| [all, frame(Kind::Watch, id, b"w")].concat());
    for ids in [vec![1, 1], (0..=256).collect()] {
        let mut stream = raw(&server).await;
        stream.write_all(&watches(ids)).await.unwrap();
        ends(&mut stream).await;
    }
    let mut stream = raw(&server).await;
    stream.write_all(&watches((0..256).collect())).await.unwrap();
    stream.write_all(&frame(Kind::Call, 7, b"still here")).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(10).any(|window| window == b"still here") {
        let count = timeout(PATIENCE, stream.read_buf(&mut seen)).await.unwrap().unwrap();
        assert!(count > 0, "the connection ended");
    }
}
