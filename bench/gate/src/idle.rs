//! `load idle tcp | ws | tls ADDRESS COUNT CERTIFICATE`: opens sessions and leaves them alone. Writes a line when all
//! are open, and ends with its input.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Failure;
use crate::dialect::{Dialect, Session, opening};
use crate::load::connect;

/// For whom the certificate is.
pub(crate) const HOST: &str = "localhost";

/// Whatever keeps a session open.
type Kept = Box<dyn Send>;

pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let [transport, address, count, certificate] = *words else { return Err("load idle: four words".into()) };
    let (address, count): (SocketAddr, u64) = (address.parse()?, count.parse()?);
    let tls = (transport == "tls").then(|| trusting(certificate)).transpose()?;
    let mut kept: Vec<Kept> = Vec::new();
    for number in 0..count {
        let stream = connect(number, address)?;
        kept.push(match (transport, &tls) {
            ("tls", Some(config)) => {
                let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(HOST)?)?;
                kept_by(number, StreamOwned::new(connection, stream))?
            }
            ("ws", _) => Box::new(web_socket(number, stream)?),
            _ => kept_by(number, stream)?,
        });
    }
    println!("true");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(kept);
    Ok(())
}

fn kept_by(number: u64, mut stream: impl Read + Write + Send + 'static) -> Result<Kept, Failure> {
    Session::open(number, &mut stream)?;
    Ok(Box::new(stream))
}

/// Upgrades, opens a session, and waits for the first message: WELCOME.
fn web_socket<S: Read + Write>(number: u64, mut stream: S) -> io::Result<S> {
    stream.write_all(
        b"GET /bbq HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend_from_slice(&byte);
    }
    if !answer.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    let mut frames = bytes::BytesMut::new();
    opening(number).iter().for_each(|frame| frame.encode(&mut frames));
    // A mask of zeros changes nothing.
    let mut message = vec![0x82, 0x80 | frames.len() as u8, 0, 0, 0, 0];
    message.extend_from_slice(&frames);
    stream.write_all(&message)?;
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    let mut welcome = vec![0; usize::from(header[1])];
    stream.read_exact(&mut welcome)?;
    Ok(stream)
}

fn trusting(certificate: &str) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
