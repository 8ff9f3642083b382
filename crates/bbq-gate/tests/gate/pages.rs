//! Plain HTTP on the same port.

use std::time::Duration;

use bbq_gate::{GateConfig, Pages};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Server, local, soon};

async fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.gate.local_addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn pages_and_health_are_served_beside_the_game() {
    let pages = Pages::new(|path| match path {
        "/" => Some(("text/html".into(), Bytes::from(vec![b'x'; 300_000]))),
        _ => None,
    });
    let server = Server::start(GateConfig { pages, ..local() }).await;
    let page = ask(&server, "GET /?v=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 300000\r\n"), "{page}");
    assert!(page.ends_with("xxx") && page.len() > 300_000);
    let head = ask(&server, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n") && head.contains("300000"));
    assert!(ask(&server, "GET /none HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(&server, "POST / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    assert!(ask(&server, "\r\nnonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let huge = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(9000));
    assert!(ask(&server, &huge).await.starts_with("HTTP/1.1 431 "));
    assert!(ask(&server, "GET /healthz HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&server, "GET /readyz HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    // A connection from before the drain learns of it.
    let mut early = TcpStream::connect(server.gate.local_addr()).await.unwrap();
    crate::client::until(|| async { (server.gate.stats().await.handshakes == 1).then_some(()) }).await;
    server.gate.drain(Duration::from_millis(10)).await;
    early.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(early.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}
