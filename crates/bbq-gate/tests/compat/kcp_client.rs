//! A KCP client with the settings of the original's (`dist/node-kcp-ex`): stream mode, nodelay (1, 10, 10, 3).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kcp::Kcp;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

pub(crate) struct KcpClient {
    kcp: Kcp<Out>,
    socket: Arc<UdpSocket>,
    start: Instant,
}

struct Out(Arc<UdpSocket>);

impl Write for Out {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(datagram);
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl KcpClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        socket.connect(address).await.unwrap();
        socket.writable().await.unwrap();
        let mut kcp = Kcp::new_stream(255, Out(socket.clone()));
        kcp.set_nodelay(true, 10, 10, true);
        Self { kcp, socket, start: Instant::now() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(16_000) {
            self.kcp.send(chunk).unwrap();
        }
        self.update();
    }

    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        loop {
            if let Ok(len) = self.kcp.peeksize() {
                let mut bytes = vec![0; len];
                self.kcp.recv(&mut bytes).unwrap();
                return bytes;
            }
            if let Ok(received) = timeout(Duration::from_millis(10), self.socket.recv(&mut buffer)).await {
                self.kcp.input(&buffer[..received.unwrap()]).unwrap();
            }
            self.update();
        }
    }

    /// Answers nothing more; what still arrives until nothing does for a second.
    pub(crate) async fn deaf(self) -> usize {
        let (mut buffer, mut count) = ([0; 2048], 0);
        while timeout(Duration::from_secs(1), self.socket.recv(&mut buffer)).await.is_ok_and(|result| result.is_ok()) {
            count += 1;
        }
        count
    }

    fn update(&mut self) {
        self.kcp.update(self.start.elapsed().as_millis() as u32).unwrap();
    }
}
