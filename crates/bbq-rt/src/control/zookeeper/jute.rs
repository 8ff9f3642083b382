//! As much of ZooKeeper's wire format as a session needs: big-endian numbers, strings and buffers
//! after their length.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Largest frame that is taken from a server.
pub(super) const MAX_FRAME_BYTES: usize = 64 << 20;

/// Numbers of operations.
pub(super) mod op {
    pub(crate) const CREATE: i32 = 1;
    pub(crate) const DELETE: i32 = 2;
    pub(crate) const EXISTS: i32 = 3;
    pub(crate) const GET_DATA: i32 = 4;
    pub(crate) const SET_DATA: i32 = 5;
    pub(crate) const SYNC: i32 = 9;
    pub(crate) const PING: i32 = 11;
    pub(crate) const GET_CHILDREN: i32 = 12;
    pub(crate) const MULTI: i32 = 14;
    pub(crate) const ADD_WATCH: i32 = 106;
    pub(crate) const CLOSE: i32 = -11;
}

/// Numbers of errors.
pub(super) mod code {
    pub(crate) const OK: i32 = 0;
    pub(crate) const RUNTIME_INCONSISTENCY: i32 = -2;
    pub(crate) const NO_NODE: i32 = -101;
    pub(crate) const BAD_VERSION: i32 = -103;
    pub(crate) const NODE_EXISTS: i32 = -110;
    pub(crate) const SESSION_EXPIRED: i32 = -112;
    pub(crate) const SESSION_MOVED: i32 = -118;
}

/// What is known about a node of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    /// Transaction that wrote it last.
    pub(super) mzxid: u64,
    pub(super) version: i32,
    /// Transaction that added or removed a child last.
    pub(super) pzxid: u64,
}

/// Writes a request.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) BytesMut);

impl Writer {
    pub(super) fn int(mut self, value: i32) -> Self {
        self.0.put_i32(value);
        self
    }

    pub(super) fn long(mut self, value: i64) -> Self {
        self.0.put_i64(value);
        self
    }

    pub(super) fn flag(mut self, value: bool) -> Self {
        self.0.put_u8(u8::from(value));
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.put_slice(value);
        self
    }

    pub(super) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    /// Everybody may do everything: access is a matter of the network, as with the other engines.
    pub(super) fn open_acl(self) -> Self {
        self.int(1).int(31).text("world").text("anyone")
    }

    /// Header of one operation within a `multi`.
    pub(super) fn part(self, kind: i32, is_end: bool) -> Self {
        self.int(kind).flag(is_end).int(-1)
    }
}

/// Reads an answer. Nothing is reserved because of a length in it.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn int(&mut self) -> io::Result<i32> {
        self.0.try_get_i32().map_err(short)
    }

    pub(super) fn long(&mut self) -> io::Result<i64> {
        self.0.try_get_i64().map_err(short)
    }

    pub(super) fn flag(&mut self) -> io::Result<bool> {
        Ok(self.0.try_get_u8().map_err(short)? != 0)
    }

    /// Of a transaction, which is never negative.
    pub(super) fn zxid(&mut self) -> io::Result<u64> {
        Ok(u64::try_from(self.long()?).unwrap_or(0))
    }

    pub(super) fn bytes(&mut self) -> io::Result<Bytes> {
        let length = usize::try_from(self.int()?).unwrap_or(0);
        if length > self.0.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    pub(super) fn texts(&mut self) -> io::Result<Vec<String>> {
        let count = self.int()?;
        (0..count).map(|_| self.text()).collect()
    }

    pub(super) fn stat(&mut self) -> io::Result<Stat> {
        let (_czxid, mzxid, _ctime, _mtime) = (self.long()?, self.zxid()?, self.long()?, self.long()?);
        let (version, _cversion, _aversion, _owner) = (self.int()?, self.int()?, self.int()?, self.long()?);
        let (_length, _children, pzxid) = (self.int()?, self.int()?, self.zxid()?);
        Ok(Stat { mzxid, version, pzxid })
    }
}

fn short(_: bytes::TryGetError) -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_server_says_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            let _ = Reader(bytes.clone()).texts();
            let _ = Reader(bytes.clone()).stat();
            let _ = Reader(bytes).text();
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let written = Writer::default().int(-5).long(7).text("é").bytes(b"").0.freeze();
        let mut reader = Reader(written);
        assert_eq!((reader.int().unwrap(), reader.long().unwrap()), (-5, 7));
        assert_eq!((reader.text().unwrap(), reader.bytes().unwrap()), ("é".to_owned(), Bytes::new()));
        assert!(reader.int().is_err());
    }
}
