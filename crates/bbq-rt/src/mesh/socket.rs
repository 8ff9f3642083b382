//! Stream sockets of both kinds behind one face: TCP between hosts, Unix sockets within one.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where links are accepted or made: `host:port`, or `unix:path`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// Host and port; port 0 lets the system choose.
    Tcp(String),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// An open stream, in two halves.
pub(super) struct Stream {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

impl Stream {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: Box::new(reader), writer: Box::new(writer) })
    }

    fn unix(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: Box::new(reader), writer: Box::new(writer) }
    }

    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Self::tcp(TcpStream::connect(address).await?),
            Address::Unix(path) => Ok(Self::unix(UnixStream::connect(path).await?)),
        }
    }
}

/// A socket that accepts links. A Unix socket's file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Begins to listen. A file left behind at the path of a Unix socket is replaced, unless somebody still listens.
    ///
    /// # Errors
    /// Those of the system; `AddrInUse` when a process listens there.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(text) => {
                let socket = TcpListener::bind(text).await?;
                let address = Address::Tcp(socket.local_addr()?.to_string());
                Ok(Self { socket: Socket::Tcp(socket), address })
            }
            Address::Unix(path) => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{address} is in use")));
                }
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                Ok(Self { socket: Socket::Unix(UnixListener::bind(path)?), address: address.clone() })
            }
        }
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn local_address(&self) -> &Address {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Tcp(socket) => Stream::tcp(socket.accept().await?.0),
            Socket::Unix(socket) => Ok(Stream::unix(socket.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, path = %path.display(), "the file of a socket stays behind");
        }
    }
}
