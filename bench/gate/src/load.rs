//! `load ..`: the clients. One thread, readiness from the system, one read and one write per connection and turn:
//! as little as a client can cost.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use crate::dialect::{Arrived, Dialect, Plain, Session};
use crate::process::cpu_seconds;
use crate::{Failure, idle};

/// Read at once.
const READ_BYTES: usize = 64 * 1024;
/// Connections from one address; a gate allows 4,096.
const PER_ADDRESS: u64 = 1000;
/// Not measured, at the beginning.
const WARM_UP: Duration = Duration::from_millis(500);
/// Nothing takes longer unless it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    match *words {
        ["echo", dialect, address, connections, window, millis, server] => {
            let plan = Echo {
                connections: connections.parse()?,
                window: window.parse()?,
                span: Duration::from_millis(millis.parse()?),
                server: server.parse()?,
            };
            by(dialect, address.parse()?, |address| plan.run::<Session>(address), |address| plan.run::<Plain>(address))
        }
        ["broadcast", dialect, address, connections, window, pushes, server] => {
            let plan = Broadcast {
                connections: connections.parse()?,
                window: window.parse()?,
                pushes: pushes.parse()?,
                server: server.parse()?,
            };
            by(dialect, address.parse()?, |address| plan.run::<Session>(address), |address| plan.run::<Plain>(address))
        }
        ["idle", ref what @ ..] => idle::run(what),
        _ => Err("load echo | broadcast | idle ..".into()),
    }
}

fn by(
    dialect: &str,
    address: SocketAddr,
    session: impl FnOnce(SocketAddr) -> Result<(), Failure>,
    plain: impl FnOnce(SocketAddr) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if dialect == "plain" { plain(address) } else { session(address) }
}

/// Connects from one of several loopback addresses.
pub(crate) fn connect(number: u64, to: SocketAddr) -> io::Result<Blocking> {
    let host = 2 + (number / PER_ADDRESS) as u32;
    let from = SocketAddr::from((Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() - 1 + host), 0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(from)?;
        socket.connect(to).await
    })?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One connection.
struct Line<D> {
    stream: TcpStream,
    dialect: D,
    input: BytesMut,
    output: BytesMut,
    /// When the questions were asked that are not answered, the oldest first.
    asked: VecDeque<(u64, Instant)>,
    questions: u64,
}

/// All connections.
struct Lines<D> {
    poll: Poll,
    events: Events,
    lines: Vec<Line<D>>,
    buffer: Box<[u8]>,
}

impl<D: Dialect> Line<D> {
    fn ask(&mut self, now: Instant) {
        self.questions += 1;
        self.asked.push_back((self.questions, now));
        self.dialect.question(&mut self.output);
    }

    /// When the question was asked that is now answered.
    fn answered(&mut self, number: u64) -> Option<Instant> {
        let at = self.asked.iter().position(|(asked, _)| *asked == number)?;
        self.asked.remove(at).map(|(_, when)| when)
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) if written == self.output.len() => self.output.clear(),
                Ok(written) => drop(self.output.split_to(written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<D: Dialect> Lines<D> {
    fn open(count: u64, address: SocketAddr) -> Result<Self, Failure> {
        let (poll, mut lines) = (Poll::new()?, Vec::new());
        for number in 0..count {
            let mut stream = connect(number, address)?;
            let dialect = D::open(number, &mut stream)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number as usize), interest)?;
            let (input, output) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
            lines.push(Line { stream, dialect, input, output, asked: VecDeque::new(), questions: 0 });
        }
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Self { poll, events: Events::with_capacity(1024), lines, buffer })
    }

    /// Waits until something arrives, and tells; what was put into a line's output is written after its frames.
    fn turn(&mut self, mut arrived: impl FnMut(&mut Line<D>, Arrived)) -> Result<(), Failure> {
        self.poll.poll(&mut self.events, Some(PATIENCE))?;
        if self.events.is_empty() {
            return Err("nothing arrives any more".into());
        }
        for event in &self.events {
            let Some(line) = self.lines.get_mut(event.token().0) else { continue };
            if event.is_readable() {
                read(line, &mut self.buffer, &mut arrived)?;
            }
            line.write()?;
        }
        Ok(())
    }
}

/// Readiness is told once, so it has to be used up; a read that does not fill the buffer has done so.
fn read<D: Dialect>(
    line: &mut Line<D>,
    buffer: &mut [u8],
    arrived: &mut impl FnMut(&mut Line<D>, Arrived),
) -> Result<(), Failure> {
    loop {
        let len = match line.stream.read(buffer) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut input = std::mem::take(&mut line.input);
        input.extend_from_slice(&buffer[..len]);
        while let Some(what) = line.dialect.next(&mut input, &mut line.output)? {
            arrived(line, what);
        }
        line.input = input;
        if len < buffer.len() {
            return Ok(());
        }
    }
}

/// What a measurement costs.
struct Cost {
    started: Instant,
    load: f64,
    server: f64,
    /// The server's process.
    process: u32,
}

impl Cost {
    fn begin(process: u32) -> Result<Self, Failure> {
        let (load, server) = (cpu_seconds(std::process::id())?, cpu_seconds(process)?);
        Ok(Self { started: Instant::now(), load, server, process })
    }

    /// Writes the line that the parent waits for: `count` messages, and how long each wait took.
    fn tell(&self, count: u64, mut micros: Vec<u32>) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        let load = cpu_seconds(std::process::id())? - self.load;
        let server = cpu_seconds(self.process)? - self.server;
        micros.sort_unstable();
        let at = |permille: usize| micros.get(micros.len() * permille / 1000).copied().unwrap_or(0);
        let each = 1e6 / count as f64;
        println!(
            "{}",
            json!({
                "rate": count as f64 / seconds,
                "p50": at(500),
                "p99": at(990),
                "server": server * each,
                "load": load * each,
                "all": (server + load) * each,
                "share": load / (server + load),
            })
        );
        Ok(())
    }
}

/// Every connection keeps `window` questions on their way.
struct Echo {
    connections: u64,
    window: u64,
    span: Duration,
    /// The process whose CPU time is of interest.
    server: u32,
}

impl Echo {
    fn run<D: Dialect>(&self, address: SocketAddr) -> Result<(), Failure> {
        let mut lines = Lines::<D>::open(self.connections, address)?;
        for line in &mut lines.lines {
            (0..self.window).for_each(|_| line.ask(Instant::now()));
            line.write()?;
        }
        self.turns(&mut lines, WARM_UP, &mut |_| {})?;
        let cost = Cost::begin(self.server)?;
        let mut micros: Vec<u32> = Vec::new();
        self.turns(&mut lines, self.span, &mut |took| micros.push(took.as_micros() as u32))?;
        cost.tell(micros.len() as u64, micros)
    }

    fn turns<D: Dialect>(
        &self,
        lines: &mut Lines<D>,
        span: Duration,
        took: &mut impl FnMut(Duration),
    ) -> Result<(), Failure> {
        let end = Instant::now() + span;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            lines.turn(|line, arrived| {
                if let Arrived::Answer(number) = arrived {
                    let now = Instant::now();
                    if let Some(asked) = line.answered(number) {
                        took(now - asked);
                    }
                    line.ask(now);
                }
            })?;
        }
    }
}

/// The first connection asks for pushes to everybody, `window` at a time.
struct Broadcast {
    connections: u64,
    window: u64,
    pushes: u64,
    /// The process whose CPU time is of interest.
    server: u32,
}

impl Broadcast {
    fn run<D: Dialect>(&self, address: SocketAddr) -> Result<(), Failure> {
        let mut lines = Lines::<D>::open(self.connections, address)?;
        // The first one opens the hall: what waits for an entity to be found is limited.
        for part in [0..1, 1..lines.lines.len()] {
            let mut entering = 0;
            for line in &mut lines.lines[part] {
                entering += u64::from(line.dialect.enter(&mut line.output));
                line.write()?;
            }
            while entering > 0 {
                lines.turn(|_, _| entering -= 1)?;
            }
        }
        self.push(&mut lines, 16)?;
        let cost = Cost::begin(self.server)?;
        let micros = self.push(&mut lines, self.pushes)?;
        cost.tell(self.pushes * self.connections, micros)
    }

    /// How long each push took until the last connection had it.
    fn push<D: Dialect>(&self, lines: &mut Lines<D>, pushes: u64) -> Result<Vec<u32>, Failure> {
        let (mut micros, mut received) = (Vec::new(), 0);
        let mut asked = VecDeque::new();
        let mut left = pushes;
        while (micros.len() as u64) < pushes {
            while left > 0 && (asked.len() as u64) < self.window {
                left -= 1;
                asked.push_back(Instant::now());
                if let Some(first) = lines.lines.first_mut() {
                    first.dialect.shout(&mut first.output);
                    first.write()?;
                }
            }
            lines.turn(|_, arrived| received += u64::from(arrived == Arrived::Push))?;
            // Pushes overtake each other between connections; with a window of one they cannot.
            while received >= self.connections {
                received -= self.connections;
                micros.extend(asked.pop_front().map(|asked| asked.elapsed().as_micros() as u32));
            }
        }
        Ok(micros)
    }
}
