//! As much of an HTTP/1.1 client as etcd's gateway and Consul need: no TLS, no redirects, connections that are used
//! again, several servers.
//!
//! Nothing is reserved because of a length that a server wrote.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bbq_core::control::ControlError;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::unreachable;

/// Largest answer.
const MAX_BODY_BYTES: usize = 256 << 20;
/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Connections that wait to be used again.
const MAX_IDLE: usize = 8;
/// Of the time that is left, what one server gets while there are others to try.
const SHARE: u32 = 2;

/// What to send.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    /// With query.
    pub(super) path: String,
    pub(super) body: Bytes,
    /// May be carried out twice, so that it can be sent to another server when one is silent.
    pub(super) again: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// `X-Consul-Index`.
    pub(super) index: Option<u64>,
    pub(super) body: Bytes,
}

/// Servers that hold the same state.
#[derive(Debug)]
pub(super) struct Http {
    servers: Vec<String>,
    /// Lines of every request's head, such as a token.
    headers: String,
    /// The one that answered last.
    current: AtomicUsize,
    idle: Mutex<Vec<(usize, TcpStream)>>,
}

impl Http {
    /// `servers`: at least one `host:port`. `headers`: complete lines.
    pub(super) fn new(servers: Vec<String>, headers: String) -> Self {
        Self { servers, headers, current: AtomicUsize::new(0), idle: Mutex::default() }
    }

    /// Sends a request and reads the whole answer, from the first server that gives one within `patience`. Answers of
    /// broken servers (5xx) are as good as none.
    pub(super) async fn call(&self, request: &Request, patience: Duration) -> Result<Response, ControlError> {
        let end = Instant::now() + patience;
        let first = self.current.load(Ordering::Relaxed);
        let mut why = String::new();
        for attempt in 0..self.servers.len() {
            let server = (first + attempt) % self.servers.len();
            let now = Instant::now();
            let is_last = attempt + 1 == self.servers.len();
            let until = if is_last { end } else { now + end.saturating_duration_since(now) / SHARE };
            match self.call_one(server, request, until).await {
                Ok(response) if response.status < 500 => {
                    self.current.store(server, Ordering::Relaxed);
                    return Ok(response);
                }
                // "No leader" and "timed out" look like this: nobody knows whether it was carried out.
                Ok(response) => {
                    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(200)]).into_owned();
                    why = format!("{} says {}: {}", self.servers[server], response.status, text.trim());
                    if !request.again {
                        break;
                    }
                }
                Err(Failed::Before(error)) => why = format!("{}: {error}", self.servers[server]),
                Err(Failed::After(error)) => {
                    why = format!("{}: {error}", self.servers[server]);
                    if !request.again {
                        break;
                    }
                }
            }
        }
        Err(unreachable(why))
    }

    async fn call_one(&self, server: usize, request: &Request, until: Instant) -> Result<Response, Failed> {
        let mut stream = self.connection(server, until).await?;
        let exchange = async {
            self.send(&mut stream, server, request).await?;
            let mut reader = Reader::default();
            let head = reader.head(&mut stream).await?;
            let body = reader.body(&mut stream, &head).await?;
            Ok::<_, io::Error>((head, body, reader.buffer.is_empty()))
        };
        let (head, body, is_clean) = timeout_at(until, exchange).await.map_err(late).map_err(Failed::After)??;
        if head.keeps && is_clean {
            let mut idle = self.idle.lock().expect("nobody panics with it");
            if idle.len() < MAX_IDLE {
                idle.push((server, stream));
            }
        }
        Ok(Response { status: head.status, index: head.index, body })
    }

    /// Sends a request whose answer is a stream of chunks, to the server that answered last, else to others.
    pub(super) async fn stream(&self, request: &Request, patience: Duration) -> Result<Stream, ControlError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut why = String::new();
        for attempt in 0..self.servers.len() {
            let server = (first + attempt) % self.servers.len();
            let opening = async {
                let mut stream = TcpStream::connect(&self.servers[server]).await?;
                self.send(&mut stream, server, request).await?;
                let mut reader = Reader::default();
                let head = reader.head(&mut stream).await?;
                Ok::<_, io::Error>(Stream { stream, reader, head })
            };
            match timeout_at(Instant::now() + patience, opening).await.map_err(late).flatten() {
                Ok(stream) if stream.head.status == 200 => return Ok(stream),
                Ok(stream) => why = format!("{} says {}", self.servers[server], stream.head.status),
                Err(error) => why = format!("{}: {error}", self.servers[server]),
            }
        }
        Err(unreachable(why))
    }

    async fn connection(&self, server: usize, until: Instant) -> Result<TcpStream, Failed> {
        loop {
            let idle = {
                let mut idle = self.idle.lock().expect("nobody panics with it");
                idle.iter().position(|(at, _)| *at == server).map(|found| idle.swap_remove(found).1)
            };
            match idle {
                // One that the server closed, or that has something to say unasked, is of no use.
                Some(stream) => match stream.try_read(&mut [0]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(stream),
                    _ => {}
                },
                None => break,
            }
        }
        let connecting = TcpStream::connect(&self.servers[server]);
        let stream = timeout_at(until, connecting).await.map_err(late).flatten().map_err(Failed::Before)?;
        stream.set_nodelay(true).map_err(Failed::Before)?;
        Ok(stream)
    }

    async fn send(&self, stream: &mut TcpStream, server: usize, request: &Request) -> io::Result<()> {
        let Request { method, path, body, .. } = request;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n",
            self.servers[server],
            body.len(),
            self.headers,
        );
        let mut message = BytesMut::with_capacity(head.len() + body.len());
        message.extend_from_slice(head.as_bytes());
        message.extend_from_slice(body);
        stream.write_all(&message).await
    }
}

/// When a request failed: before anything of it was sent, or after.
enum Failed {
    Before(io::Error),
    After(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::After(error)
    }
}

fn late(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Stream {
    stream: TcpStream,
    reader: Reader,
    head: Head,
}

impl Stream {
    /// The next chunk; `None`: the answer is over.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if !self.head.is_chunked {
            return Ok(None);
        }
        self.reader.chunk(&mut self.stream).await
    }
}

#[derive(Debug)]
struct Head {
    status: u16,
    index: Option<u64>,
    length: Option<usize>,
    is_chunked: bool,
    /// The connection can be used again.
    keeps: bool,
}

#[derive(Debug, Default)]
struct Reader {
    buffer: BytesMut,
}

impl Reader {
    async fn more(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn head(&mut self, stream: &mut TcpStream) -> io::Result<Head> {
        loop {
            if let Some((head, bytes)) = parse_head(&self.buffer)? {
                self.buffer.advance(bytes);
                return Ok(head);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(bad("a head that is too long"));
            }
            self.more(stream).await?;
        }
    }

    async fn body(&mut self, stream: &mut TcpStream, head: &Head) -> io::Result<Bytes> {
        if head.is_chunked {
            let mut body = BytesMut::new();
            while let Some(chunk) = self.chunk(stream).await? {
                if body.len() + chunk.len() > MAX_BODY_BYTES {
                    return Err(bad("an answer that is too long"));
                }
                body.extend_from_slice(&chunk);
            }
            return Ok(body.freeze());
        }
        let length = head.length.ok_or_else(|| bad("an answer without a length"))?;
        self.exactly(stream, length).await
    }

    /// `None`: the last chunk was read.
    async fn chunk(&mut self, stream: &mut TcpStream) -> io::Result<Option<Bytes>> {
        let (line, size) = loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) => self.more(stream).await?,
                Err(_) => return Err(bad("a chunk without a size")),
            }
        };
        let size = usize::try_from(size).map_err(|_| bad("a chunk that is too long"))?;
        if size > MAX_BODY_BYTES {
            return Err(bad("a chunk that is too long"));
        }
        // Nothing is taken away before the chunk is there, so that a caller may drop the future.
        while self.buffer.len() < line + size + 2 {
            self.more(stream).await?;
        }
        self.buffer.advance(line);
        let chunk = self.buffer.split_to(size).freeze();
        self.buffer.advance(2);
        Ok((size > 0).then_some(chunk))
    }

    async fn exactly(&mut self, stream: &mut TcpStream, length: usize) -> io::Result<Bytes> {
        if length > MAX_BODY_BYTES {
            return Err(bad("an answer that is too long"));
        }
        while self.buffer.len() < length {
            self.more(stream).await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(&error.to_string())),
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let head = Head {
        status: response.code.unwrap_or(0),
        index: value("x-consul-index").and_then(|index| index.parse().ok()),
        length: value("content-length").and_then(|length| length.parse().ok()),
        is_chunked: value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")),
        keeps: response.version == Some(1) && value("connection").is_none_or(|it| !it.eq_ignore_ascii_case("close")),
    };
    Ok(Some((head, length)))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn request(again: bool) -> Request {
        Request { method: "POST", path: "/x".into(), body: Bytes::from("{}"), again }
    }

    /// Answers connections one after the other with these texts, after a request came; an empty one closes.
    async fn server(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let served = tokio::spawn(async move {
            let mut connections = 0;
            let mut answers = answers.into_iter();
            'connections: while let Ok((mut stream, _)) = listener.accept().await {
                connections += 1;
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    match answers.next() {
                        None => return connections,
                        Some("") => continue 'connections,
                        Some(text) => stream.write_all(text.as_bytes()).await.expect("a reader"),
                    }
                }
            }
            connections
        });
        (address, served)
    }

    #[tokio::test]
    async fn answers_with_a_length_and_in_chunks_come_over_one_connection() {
        let fixed = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Consul-Index: 42\r\n\r\nhello";
        let chunked = "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let (address, served) = server(vec![fixed, chunked, fixed]).await;
        let http = Http::new(vec![address], String::new());
        let first = http.call(&request(false), PATIENCE).await.expect("an answer");
        assert_eq!((first.status, first.index, &first.body[..]), (200, Some(42), &b"hello"[..]));
        let second = http.call(&request(false), PATIENCE).await.expect("an answer");
        assert_eq!((second.status, second.index, &second.body[..]), (404, None, &b"abcde"[..]));
        http.call(&request(false), PATIENCE).await.expect("an answer");
        let _ = http.call(&request(false), PATIENCE).await;
        assert_eq!(served.await.expect("no panic"), 1);
    }

    #[tokio::test]
    async fn a_request_that_may_have_been_carried_out_is_not_sent_to_another_server() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        for (again, succeeds) in [(false, false), (true, true)] {
            let ((silent, _), (other, _)) = (server(vec![""]).await, server(vec![good]).await);
            let http = Http::new(vec![silent, other], String::new());
            let answer = http.call(&request(again), PATIENCE).await;
            assert_eq!(answer.is_ok(), succeeds, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_passed_over() {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let (other, _) = server(vec!["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
        let http = Http::new(vec![free.to_string(), other], String::new());
        assert!(http.call(&request(false), PATIENCE).await.is_ok());
    }

    #[tokio::test]
    async fn nonsense_is_an_error_and_reserves_nothing() {
        for nonsense in [
            "hello\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ] {
            let (address, _) = server(vec![nonsense]).await;
            let http = Http::new(vec![address], String::new());
            let answer = http.call(&request(false), PATIENCE).await;
            assert!(matches!(answer, Err(ControlError::Unreachable { .. })), "{nonsense}: {answer:?}");
        }
    }
}
