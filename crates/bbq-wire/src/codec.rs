//! Fields of frames, read with bounds and written without surprises.
//!
//! [`Reader`] walks a slice and answers every malformed input with a [`ReadError`]; it never panics, never indexes and
//! never allocates. [`Sink`] is the other direction. Lengths come from the peer and are therefore only compared, never
//! used to reserve memory.

use bytes::{Bytes, BytesMut};

use crate::id::{EntityId, Key, MAX_KEY_BYTES, NodeUid};

/// Longest encoding of a varint, in bytes.
pub const MAX_VARINT_BYTES: usize = 10;

/// Why a field could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The input ends inside a field.
    Truncated,
    /// A varint is longer than ten bytes or does not fit 64 bits.
    VarintOverflow,
    /// A number does not fit the type of its field.
    OutOfRange,
    /// A string is not UTF-8.
    NotUtf8,
    /// A string, byte field or list is longer than its limit.
    TooLong,
    /// A tag has no meaning.
    BadTag,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the input ends inside a field",
            Self::VarintOverflow => "a varint does not fit 64 bits",
            Self::OutOfRange => "a number does not fit its field",
            Self::NotUtf8 => "a string is not UTF-8",
            Self::TooLong => "a field is longer than its limit",
            Self::BadTag => "a tag has no meaning",
        })
    }
}

impl std::error::Error for ReadError {}

/// Reads fields from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Number of bytes not read yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Four bytes, little endian.
    pub fn u32_le(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little endian.
    pub fn u64_le(&mut self) -> Result<u64, ReadError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Unsigned LEB128 of at most [`MAX_VARINT_BYTES`]; the shortest form is not required.
    pub fn varint(&mut self) -> Result<u64, ReadError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(ReadError::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ReadError::VarintOverflow)
    }

    /// A varint that fits 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, ReadError> {
        u32::try_from(self.varint()?).map_err(|_| ReadError::OutOfRange)
    }

    /// `len:varint` and that many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let len = usize::try_from(self.varint()?).map_err(|_| ReadError::Truncated)?;
        self.take(len)
    }

    /// `len:varint` and that many bytes of UTF-8.
    pub fn str(&mut self) -> Result<&'a str, ReadError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ReadError::NotUtf8)
    }

    /// A string of at most `max` bytes.
    pub fn str_max(&mut self, max: usize) -> Result<&'a str, ReadError> {
        let text = self.str()?;
        if text.len() > max { Err(ReadError::TooLong) } else { Ok(text) }
    }

    /// A text key, at most [`MAX_KEY_BYTES`].
    pub fn text_key(&mut self) -> Result<Key, ReadError> {
        self.str_max(MAX_KEY_BYTES).map(Key::from)
    }

    /// `kind:u32` little endian and a key: `0 varint` or `1 string`.
    pub fn entity(&mut self) -> Result<EntityId, ReadError> {
        let kind = self.u32_le()?;
        let key = match self.u8()? {
            0 => Key::Number(self.varint()?),
            1 => self.text_key()?,
            _ => return Err(ReadError::BadTag),
        };
        Ok(EntityId { kind, key })
    }

    /// `node:u32 incarnation:u64`, little endian: twelve bytes.
    pub fn node(&mut self) -> Result<NodeUid, ReadError> {
        Ok(NodeUid { node: self.u32_le()?, incarnation: self.u64_le()? })
    }

    /// `0`, or `1` and what `read` reads.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ReadError>) -> Result<Option<T>, ReadError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(ReadError::BadTag),
        }
    }

    /// `count:varint` and that many items, at most `max`. Memory grows with the items that arrived, not with `count`.
    pub fn list<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let count = self.varint()?;
        if usize::try_from(count).map_or(true, |count| count > max) {
            return Err(ReadError::TooLong);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Everything not read yet.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Everything not read yet, as a slice of `whole`, from which this reader must have been made: no copy.
    #[must_use]
    pub fn rest_of(&self, whole: &Bytes) -> Bytes {
        whole.slice(whole.len().saturating_sub(self.rest.len())..)
    }
}

/// Where fields are written to: a buffer, or a [`Counter`] that only measures.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// One byte.
    fn u8(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Four bytes, little endian.
    fn u32_le(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Eight bytes, little endian.
    fn u64_le(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Unsigned LEB128, shortest form.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// `len:varint` and the bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.put(bytes);
    }

    /// `len:varint` and the text.
    fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// As [`Reader::entity`] reads it.
    fn entity(&mut self, entity: &EntityId) {
        self.u32_le(entity.kind);
        match &entity.key {
            Key::Number(number) => {
                self.u8(0);
                self.varint(*number);
            }
            Key::Text(text) => {
                self.u8(1);
                self.str(text);
            }
        }
    }

    /// As [`Reader::node`] reads it.
    fn node(&mut self, uid: NodeUid) {
        self.u32_le(uid.node);
        self.u64_le(uid.incarnation);
    }
}

impl Sink for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what would be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter(pub usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Length of the shortest encoding of `value`.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_their_length_is_known_beforehand() {
        for value in (0..64).flat_map(|bit| [1_u64 << bit, (1_u64 << bit) - 1]).chain([u64::MAX]) {
            let mut out = Vec::new();
            out.varint(value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_long_form_is_read_and_an_overlong_one_refused() {
        assert_eq!(Reader::new(&[0x81, 0x80, 0x00]).varint(), Ok(1));
        assert_eq!(Reader::new(&[0x80; 3]).varint(), Err(ReadError::Truncated));
        assert_eq!(Reader::new(&[0xff; 10]).varint(), Err(ReadError::VarintOverflow));
        assert_eq!(Reader::new(&[0x80; 11]).varint(), Err(ReadError::VarintOverflow));
    }

    #[test]
    fn a_length_is_compared_and_never_trusted() {
        let mut huge = Vec::new();
        huge.varint(u64::MAX);
        assert_eq!(Reader::new(&huge).bytes(), Err(ReadError::Truncated));
        assert_eq!(Reader::new(&huge).list(10, Reader::u8), Err(ReadError::TooLong));
        assert_eq!(Reader::new(&[2, 0xff, 0xfe]).str(), Err(ReadError::NotUtf8));
    }
}
