//! One HTTP/1.1 connection, blocking: what goes out and what comes back, unadorned.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than any pause that a trial makes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes moved at once.
const PIECE: usize = 256 << 10;

/// A connection to a registry or to its control socket.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<Socket>,
    host: String,
    /// Whether the server said that it would close.
    spent: bool,
    piece: Vec<u8>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a request carries.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes of a reader, with their length announced.
    Sized(&'a mut dyn Stream, u64),
    /// All of a reader, in chunks.
    Chunked(&'a mut dyn Stream),
    /// A whole file, handed over by the kernel.
    File(&'a File, u64),
}

/// A body in the making. `Debug` so that payloads can be shown.
pub trait Stream: Read + std::fmt::Debug {}

impl<T: Read + std::fmt::Debug> Stream for T {}

/// An answer's head, and its body unless that was taken elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the server took what was asked.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }
}

impl Connection {
    /// To a port of this machine.
    pub fn open(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::over(Socket::Tcp(stream), format!("localhost:{port}")))
    }

    /// To a control socket.
    pub fn open_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::over(Socket::Unix(stream), "localhost".to_owned()))
    }

    fn over(socket: Socket, host: String) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, socket), host, spent: false, piece: Vec::new() }
    }

    /// Whether the server has said that this was the last answer here.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// One request, and its whole answer.
    pub fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> io::Result<Reply> {
        let mut body = Vec::new();
        let mut reply = self.exchange_into(method, path, headers, payload, &mut body)?;
        reply.body = body;
        Ok(reply)
    }

    /// One request, with the answer's body into a sink.
    pub fn exchange_into<W: Write>(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
        sink: &mut W,
    ) -> io::Result<Reply> {
        let sent = self.send(method, path, headers, payload);
        // Whoever refuses early answers before everything was sent, and may close.
        let reply = match (self.read_head(), sent) {
            (Ok(reply), sent) => {
                self.spent |= sent.is_err();
                reply
            }
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        self.read_body(method, &reply, sink)?;
        Ok(reply)
    }

    /// Only sends a request; its answer is read with [`receive`](Self::receive).
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], payload: Payload<'_>) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &payload {
            Payload::Empty if matches!(method, "GET" | "HEAD") => {}
            Payload::Empty => head.push_str("Content-Length: 0\r\n"),
            Payload::Bytes(bytes) => head.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
            Payload::Sized(_, length) | Payload::File(_, length) => {
                head.push_str(&format!("Content-Length: {length}\r\n"));
            }
            Payload::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        self.send_raw(head.as_bytes())?;
        match payload {
            Payload::Empty => Ok(()),
            Payload::Bytes(bytes) => self.send_raw(bytes),
            Payload::Sized(stream, length) => self.send_pieces(stream, length),
            Payload::Chunked(stream) => self.send_chunks(stream),
            Payload::File(mut file, length) => match self.reader.get_mut() {
                Socket::Tcp(stream) => io::copy(&mut Read::take(&mut file, length), stream).map(drop),
                Socket::Unix(stream) => io::copy(&mut Read::take(&mut file, length), stream).map(drop),
            },
        }
    }

    /// Bytes as they are, for requests that no client would make.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// The answer to what was sent.
    pub fn receive(&mut self, method: &str) -> io::Result<Reply> {
        let mut reply = self.read_head()?;
        let mut body = Vec::new();
        self.read_body(method, &reply, &mut body)?;
        reply.body = body;
        Ok(reply)
    }

    fn send_pieces(&mut self, stream: &mut dyn Stream, length: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        let mut left = length;
        while left > 0 {
            let want = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            stream.read_exact(&mut piece[..want])?;
            self.send_raw(&piece[..want])?;
            left -= want as u64;
        }
        Ok(())
    }

    fn send_chunks(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = stream.read(&mut piece)?;
            self.send_raw(format!("{read:x}\r\n").as_bytes())?;
            self.send_raw(&piece[..read])?;
            self.send_raw(b"\r\n")?;
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn read_head(&mut self) -> io::Result<Reply> {
        loop {
            let mut reply = Reply { status: parse_status(&self.read_line()?)?, ..Reply::default() };
            loop {
                let line = self.read_line()?;
                let Some((name, value)) = line.split_once(':') else { break };
                reply.headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            self.spent |= reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            if reply.status >= 200 {
                return Ok(reply);
            }
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn read_body<W: Write>(&mut self, method: &str, reply: &Reply, sink: &mut W) -> io::Result<()> {
        if method == "HEAD" || matches!(reply.status, 204 | 304) {
            return Ok(());
        }
        if reply.header("transfer-encoding").is_some() {
            return self.read_chunks(sink);
        }
        match reply.length() {
            Some(length) => self.read_exactly(length, sink),
            None => {
                self.spent = true;
                io::copy(&mut self.reader, sink).map(drop)
            }
        }
    }

    fn read_exactly<W: Write>(&mut self, length: u64, sink: &mut W) -> io::Result<()> {
        let buffered = self.reader.buffer().len().min(usize::try_from(length).unwrap_or(usize::MAX));
        sink.write_all(&self.reader.buffer()[..buffered])?;
        self.reader.consume(buffered);
        let left = length - buffered as u64;
        if left > 0 {
            self.pump(left, sink)?;
        }
        Ok(())
    }

    /// Past the small buffer, in large pieces.
    fn pump<W: Write>(&mut self, mut left: u64, sink: &mut W) -> io::Result<()> {
        self.piece.resize(PIECE, 0);
        while left > 0 {
            let want = PIECE.min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.reader.get_mut().read(&mut self.piece[..want])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sink.write_all(&self.piece[..read])?;
            left -= read as u64;
        }
        Ok(())
    }

    fn read_chunks<W: Write>(&mut self, sink: &mut W) -> io::Result<()> {
        loop {
            let line = self.read_line()?;
            let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            self.read_exactly(length, sink)?;
            self.read_line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}

fn parse_status(line: &str) -> io::Result<u16> {
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
