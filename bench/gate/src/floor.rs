//! The floors: what the same bytes over the same sockets cost when nobody does anything else with them.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::dialect::{LENGTH_BYTES, PUSH_BYTES, plain_frame, plain_length};

/// Answers every frame with itself; one task per connection, one write for all that one read brought.
pub(crate) async fn echo(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo_one(stream));
    }
}

async fn echo_one(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut output) = (BytesMut::with_capacity(8192), BytesMut::with_capacity(8192));
    while stream.read_buf(&mut input).await? > 0 {
        while let Some(len) = plain_length(&input).filter(|len| input.len() >= LENGTH_BYTES + len) {
            output.extend_from_slice(&input.split_to(LENGTH_BYTES + len));
        }
        stream.write_all(&output).await?;
        output.clear();
        input.reserve(4096);
    }
    Ok(())
}

/// Accepts so many connections, then writes one push to each of them whenever the first one asks for it.
pub(crate) fn write_loop(listener: &std::net::TcpListener, connections: usize) -> io::Result<()> {
    let streams = listener.incoming().take(connections).collect::<io::Result<Vec<_>>>()?;
    for stream in &streams {
        stream.set_nodelay(true)?;
    }
    let (mut push, mut question) = (BytesMut::new(), [0; LENGTH_BYTES + PUSH_BYTES]);
    plain_frame(PUSH_BYTES, &mut push);
    loop {
        let mut leader = streams.first().ok_or(io::ErrorKind::NotConnected)?;
        if leader.read_exact(&mut question).is_err() {
            // The clients have gone.
            return Ok(());
        }
        for mut stream in &streams {
            stream.write_all(&push)?;
        }
    }
}
