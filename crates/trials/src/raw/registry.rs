//! The distribution protocol over one connection, each step by itself.
//!
//! `Err` means that the connection broke and nothing is known; a reply is the server's word.

use std::io;
use std::io::Write;

use larder_oci::{Digest, media_type};
use sha2::Digest as _;

use crate::raw::content::of_hash;
use crate::raw::{Connection, Payload, Reply};

/// A client that opens a connection when it needs one.
#[derive(Debug)]
pub struct Client {
    port: u16,
    connection: Option<Connection>,
}

impl Client {
    /// For the registry at this port.
    pub fn new(port: u16) -> Self {
        Self { port, connection: None }
    }

    /// Any request. After an error the next one takes a new connection.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> io::Result<Reply> {
        let mut body = Vec::new();
        let mut reply = self.send_into(method, path, headers, payload, &mut body)?;
        reply.body = body;
        Ok(reply)
    }

    /// Any request, with the answer's body into a sink.
    pub fn send_into<W: Write>(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
        sink: &mut W,
    ) -> io::Result<Reply> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.port)?,
        };
        let reply = connection.exchange_into(method, path, headers, payload, sink)?;
        if !connection.is_spent() {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    /// A GET.
    pub fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.send("GET", path, &[], Payload::Empty)
    }

    /// The status of a HEAD.
    pub fn head(&mut self, path: &str) -> io::Result<u16> {
        Ok(self.send("HEAD", path, &[], Payload::Empty)?.status)
    }

    /// Opens an upload session; its location is in the reply.
    pub fn start_upload(&mut self, repository: &str) -> io::Result<Reply> {
        self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], Payload::Empty)
    }

    /// Appends to a session, with a `Content-Range` when the end is known.
    pub fn patch(&mut self, location: &str, range: Option<(u64, u64)>, payload: Payload<'_>) -> io::Result<Reply> {
        let range = range.map(|(start, end)| format!("{start}-{end}"));
        let mut headers = vec![("Content-Type", "application/octet-stream")];
        headers.extend(range.as_deref().map(|range| ("Content-Range", range)));
        self.send("PATCH", location, &headers, payload)
    }

    /// Closes a session.
    pub fn finish(&mut self, location: &str, digest: &Digest, payload: Payload<'_>) -> io::Result<Reply> {
        let path = with_query(location, &format!("digest={digest}"));
        self.send("PUT", &path, &[("Content-Type", "application/octet-stream")], payload)
    }

    /// A blob in two requests: POST, then PUT with all bytes.
    pub fn push(&mut self, repository: &str, digest: &Digest, payload: Payload<'_>) -> io::Result<Reply> {
        let started = self.start_upload(repository)?;
        match location(&started) {
            Some(location) => self.finish(&location, digest, payload),
            None => Ok(started),
        }
    }

    /// The bytes that a session has, as the server tells.
    pub fn upload_offset(&mut self, location: &str) -> io::Result<Result<u64, Reply>> {
        let reply = self.get(location)?;
        Ok(offset(&reply).ok_or(reply))
    }

    /// Pushes an image manifest or an index, by what it says of itself.
    pub fn put_manifest(&mut self, repository: &str, reference: &str, bytes: &[u8]) -> io::Result<Reply> {
        let index = bytes.windows(11).any(|window| window == br#""manifests""#);
        let kind = if index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send("PUT", &path, &[("Content-Type", kind)], Payload::Bytes(bytes))
    }

    /// A manifest by tag or digest.
    pub fn manifest(&mut self, repository: &str, reference: &str) -> io::Result<Reply> {
        self.get(&format!("/v2/{repository}/manifests/{reference}"))
    }

    /// A blob's status, and the digest and length of what came.
    pub fn blob(&mut self, repository: &str, digest: &Digest) -> io::Result<(u16, Digest, u64)> {
        let mut sink = Hashing { hash: sha2::Sha256::new(), length: 0 };
        let path = format!("/v2/{repository}/blobs/{digest}");
        let reply = self.send_into("GET", &path, &[], Payload::Empty, &mut sink)?;
        Ok((reply.status, of_hash(sink.hash), sink.length))
    }

    /// Deletes a tag or a manifest.
    pub fn delete_manifest(&mut self, repository: &str, reference: &str) -> io::Result<Reply> {
        self.send("DELETE", &format!("/v2/{repository}/manifests/{reference}"), &[], Payload::Empty)
    }

    /// Deletes a blob.
    pub fn delete_blob(&mut self, repository: &str, digest: &Digest) -> io::Result<Reply> {
        self.send("DELETE", &format!("/v2/{repository}/blobs/{digest}"), &[], Payload::Empty)
    }
}

/// Where an answer says to go on, as a path.
pub fn location(reply: &Reply) -> Option<String> {
    let location = reply.header("location")?;
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|at| rest[at..].to_owned()),
        None => Some(location.to_owned()),
    }
}

/// The bytes that a session's answer counts.
pub fn offset(reply: &Reply) -> Option<u64> {
    if !reply.is_success() {
        return None;
    }
    // `0-0` is what the protocol says of nothing and of one byte; trials send neither one byte.
    match reply.header("range")?.split_once('-')?.1.parse::<u64>().ok()? {
        0 => Some(0),
        last => Some(last + 1),
    }
}

/// A path with one more parameter.
pub fn with_query(path: &str, query: &str) -> String {
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

struct Hashing {
    hash: sha2::Sha256,
    length: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
