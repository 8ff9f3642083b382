//! Frames of the original gobbq, so that its TypeScript client (`gobbq-ts` 1.0.18) works unmodified (`spec/compat.md`).
//!
//! ```text
//! frame := total:u32 header_len:u32 header body      little endian
//! ```
//! `total` counts the bytes after itself, `header_len` counts itself and the header. The header is a protobuf message of
//! sixteen fields, read and written here by hand; unknown fields are skipped.

use bytes::{Bytes, BytesMut};

use crate::codec::{Counter, ReadError, Reader, Sink};

/// Longest frame that the original accepts, `total` excluded.
pub const MAX_COMPAT_FRAME: u32 = 16 * 1024 * 1024;
/// Most entries of [`Header::trans_info`].
pub const MAX_TRANS_INFO: usize = 64;
/// The service behind which the original's gate registers clients.
pub const GATE_SERVICE: &str = "gatepb.GateService";

/// One frame.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CompatFrame {
    /// Who calls what.
    pub header: Header,
    /// The encoded argument or reply.
    pub body: Bytes,
}

/// Request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RequestType {
    /// A call, or a push of the server.
    #[default]
    Request,
    /// The answer to a call.
    Response,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServiceType {
    /// The entity [`Header::dst_entity`].
    #[default]
    Entity,
    /// The service [`Header::service`].
    Service,
}

/// Whether an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CallType {
    /// One response.
    #[default]
    Unary,
    /// No response.
    OneWay,
}

/// The message `bbq.Header` of the original.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Header {
    /// Field 1; 0.
    pub version: u32,
    /// Field 2: a UUID; the response carries that of its request.
    pub request_id: String,
    /// Field 3: how long the caller waits.
    pub timeout_ms: u32,
    /// Field 4.
    pub request_type: RequestType,
    /// Field 5.
    pub service_type: ServiceType,
    /// Field 6.
    pub call_type: CallType,
    /// Field 7: who calls; never trusted.
    pub src_entity: u64,
    /// Field 8: which entity is called.
    pub dst_entity: u64,
    /// Field 9, `Type`: full name of the service or entity type. A push is dispatched by it in the client.
    pub service: String,
    /// Field 10.
    pub method: String,
    /// Field 11: 0 is protobuf.
    pub content_type: u32,
    /// Field 12: 0 is none, 1 is gzip.
    pub compress_type: u32,
    /// Field 13.
    pub flags: u32,
    /// Field 14: pairs passed through, in the order in which they came.
    pub trans_info: Vec<(String, Bytes)>,
    /// Field 15: 0 is success.
    pub error_code: i32,
    /// Field 16.
    pub error_message: String,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompatError {
    /// Longer than the limit in force.
    TooLarge {
        /// Bytes after `total`.
        len: u32,
        /// The limit.
        limit: u32,
    },
    /// `total` or `header_len` contradict the frame.
    BadLength,
    /// The header is malformed.
    Header(ReadError),
}

impl std::fmt::Display for CompatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { len, limit } => write!(f, "frame of {len} bytes, limit {limit}"),
            Self::BadLength => f.write_str("the lengths of a frame contradict each other"),
            Self::Header(error) => write!(f, "header: {error}"),
        }
    }
}

impl std::error::Error for CompatError {}

impl From<ReadError> for CompatError {
    fn from(error: ReadError) -> Self {
        Self::Header(error)
    }
}

impl CompatFrame {
    /// Takes the next whole frame, lengths included, off the front of `stream`; `None`: more bytes are needed. Never
    /// reserves memory because of a length. A WebSocket message is a piece of the stream.
    ///
    /// # Errors
    /// The stream is beyond repair: close.
    pub fn split(stream: &mut BytesMut, limit: u32) -> Result<Option<Bytes>, CompatError> {
        let Ok(total) = Reader::new(stream).u32_le() else { return Ok(None) };
        if total > limit {
            return Err(CompatError::TooLarge { len: total, limit });
        }
        if total < 4 {
            return Err(CompatError::BadLength);
        }
        let size = total as usize + 4;
        Ok((stream.len() >= size).then(|| stream.split_to(size).freeze()))
    }

    /// Reads a whole frame, as [`CompatFrame::split`] gives it. The body is a slice of `frame`.
    ///
    /// # Errors
    /// Anything that the original would not have sent.
    pub fn decode(frame: &Bytes) -> Result<Self, CompatError> {
        let mut reader = Reader::new(frame);
        let (Ok(total), Ok(header_len)) = (reader.u32_le(), reader.u32_le()) else {
            return Err(CompatError::BadLength);
        };
        let header_len = (header_len as usize).checked_sub(4).ok_or(CompatError::BadLength)?;
        if frame.len() - 4 != total as usize {
            return Err(CompatError::BadLength);
        }
        let header = reader.take(header_len).map_err(|_| CompatError::BadLength)?;
        Ok(Self { header: Header::read(header)?, body: reader.rest_of(frame) })
    }

    /// Appends the whole frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut counter = Counter(4);
        self.header.write(&mut counter);
        let header_len = counter.0;
        out.reserve(4 + header_len + self.body.len());
        out.u32_le((header_len + self.body.len()) as u32);
        out.u32_le(header_len as u32);
        self.header.write(out);
        out.put(&self.body);
    }

    /// The whole frame in a buffer of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LEN: u64 = 2;
const FIXED32: u64 = 5;

impl Header {
    /// The header of the answer to a request with this header.
    #[must_use]
    pub fn response(&self) -> Self {
        Self {
            version: self.version,
            request_id: self.request_id.clone(),
            request_type: RequestType::Response,
            service_type: self.service_type,
            call_type: self.call_type,
            src_entity: self.dst_entity,
            dst_entity: self.src_entity,
            service: self.service.clone(),
            method: self.method.clone(),
            ..Self::default()
        }
    }

    fn read(input: &[u8]) -> Result<Self, ReadError> {
        let (mut header, mut reader) = (Self::default(), Reader::new(input));
        while !reader.is_empty() {
            let tag = reader.varint()?;
            match (tag >> 3, tag & 7) {
                (0, _) => return Err(ReadError::BadTag),
                (field @ (1 | 3..=8 | 11..=13 | 15), VARINT) => header.set_number(field, reader.varint()?)?,
                (2, LEN) => header.request_id = reader.str()?.to_owned(),
                (9, LEN) => header.service = reader.str()?.to_owned(),
                (10, LEN) => header.method = reader.str()?.to_owned(),
                (16, LEN) => header.error_message = reader.str()?.to_owned(),
                (14, LEN) if header.trans_info.len() >= MAX_TRANS_INFO => return Err(ReadError::TooLong),
                (14, LEN) => header.trans_info.push(read_entry(reader.bytes()?)?),
                (_, wire_type) => skip(&mut reader, wire_type)?,
            }
        }
        Ok(header)
    }

    /// Numbers longer than their field lose their high bits, as protobuf has it.
    fn set_number(&mut self, field: u64, value: u64) -> Result<(), ReadError> {
        match field {
            1 => self.version = value as u32,
            3 => self.timeout_ms = value as u32,
            4 => self.request_type = pick(value, RequestType::Request, RequestType::Response)?,
            5 => self.service_type = pick(value, ServiceType::Entity, ServiceType::Service)?,
            6 => self.call_type = pick(value, CallType::Unary, CallType::OneWay)?,
            7 => self.src_entity = value,
            8 => self.dst_entity = value,
            11 => self.content_type = value as u32,
            12 => self.compress_type = value as u32,
            13 => self.flags = value as u32,
            _ => self.error_code = value as i32,
        }
        Ok(())
    }

    fn write(&self, out: &mut impl Sink) {
        write_number(1, self.version.into(), out);
        write_bytes(2, self.request_id.as_bytes(), out);
        write_number(3, self.timeout_ms.into(), out);
        write_number(4, self.request_type as u64, out);
        write_number(5, self.service_type as u64, out);
        write_number(6, self.call_type as u64, out);
        write_number(7, self.src_entity, out);
        write_number(8, self.dst_entity, out);
        write_bytes(9, self.service.as_bytes(), out);
        write_bytes(10, self.method.as_bytes(), out);
        write_number(11, self.content_type.into(), out);
        write_number(12, self.compress_type.into(), out);
        write_number(13, self.flags.into(), out);
        for (key, value) in &self.trans_info {
            let mut entry = Vec::with_capacity(key.len() + value.len() + 8);
            write_bytes(1, key.as_bytes(), &mut entry);
            write_bytes(2, value, &mut entry);
            write_tag(14, LEN, out);
            out.bytes(&entry);
        }
        write_number(15, i64::from(self.error_code) as u64, out);
        write_bytes(16, self.error_message.as_bytes(), out);
    }
}

fn pick<T>(value: u64, zero: T, one: T) -> Result<T, ReadError> {
    match value {
        0 => Ok(zero),
        1 => Ok(one),
        _ => Err(ReadError::BadTag),
    }
}

fn read_entry(input: &[u8]) -> Result<(String, Bytes), ReadError> {
    let (mut entry, mut reader) = ((String::new(), Bytes::new()), Reader::new(input));
    while !reader.is_empty() {
        let tag = reader.varint()?;
        match (tag >> 3, tag & 7) {
            (0, _) => return Err(ReadError::BadTag),
            (1, LEN) => entry.0 = reader.str()?.to_owned(),
            (2, LEN) => entry.1 = Bytes::copy_from_slice(reader.bytes()?),
            (_, wire_type) => skip(&mut reader, wire_type)?,
        }
    }
    Ok(entry)
}

fn skip(reader: &mut Reader<'_>, wire_type: u64) -> Result<(), ReadError> {
    match wire_type {
        VARINT => reader.varint().map(|_| ()),
        FIXED64 => reader.take(8).map(|_| ()),
        LEN => reader.bytes().map(|_| ()),
        FIXED32 => reader.take(4).map(|_| ()),
        _ => Err(ReadError::BadTag),
    }
}

fn write_tag(field: u64, wire_type: u64, out: &mut impl Sink) {
    out.varint(field << 3 | wire_type);
}

/// Zero is the default and not written.
fn write_number(field: u64, value: u64, out: &mut impl Sink) {
    if value != 0 {
        write_tag(field, VARINT, out);
        out.varint(value);
    }
}

/// Empty is the default and not written.
fn write_bytes(field: u64, value: &[u8], out: &mut impl Sink) {
    if !value.is_empty() {
        write_tag(field, LEN, out);
        out.bytes(value);
    }
}
