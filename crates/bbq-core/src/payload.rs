//! The body of a call: a typed message while it stays inside the process, bytes once it has crossed a socket.

use std::any::Any;
use std::fmt;

use bbq_wire::{Code, Error, Result};
use buffa::Message;
use bytes::Bytes;

/// A protobuf message whose type has been forgotten; it can still be encoded.
trait AnyMessage: Any + Send {
    fn encode(&self) -> Bytes;
    fn copy(&self) -> Box<dyn AnyMessage>;
}

impl<M: Message + Clone + Send + 'static> AnyMessage for M {
    fn encode(&self) -> Bytes {
        self.encode_to_bytes()
    }

    fn copy(&self) -> Box<dyn AnyMessage> {
        Box::new(self.clone())
    }
}

/// A body that came over a socket. Boxed like the typed ones, so that a payload is two words.
struct Raw(Bytes);

impl AnyMessage for Raw {
    fn encode(&self) -> Bytes {
        self.0.clone()
    }

    fn copy(&self) -> Box<dyn AnyMessage> {
        Box::new(Self(self.0.clone()))
    }
}

/// A request or reply body. Cheap to move; encoded only when it leaves the process.
#[derive(Default)]
pub struct Payload(Option<Box<dyn AnyMessage>>);

impl Payload {
    /// The body of `google.protobuf.Empty`.
    pub const EMPTY: Self = Self(None);

    /// Wraps a message without encoding it.
    #[must_use]
    pub fn of<M: Message + Clone + Send + 'static>(message: M) -> Self {
        Self(Some(Box::new(message)))
    }

    /// A body that came over a socket; it is checked when somebody takes it.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::EMPTY } else { Self(Some(Box::new(Raw(bytes)))) }
    }

    /// Nothing inside: a reply to a method that returns `Empty`. For generated code.
    #[must_use]
    pub fn unit(_: ()) -> Self {
        Self::EMPTY
    }

    /// The message inside.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the bytes are not a valid `M`, `INTERNAL` when it is a message of another type.
    pub fn take<M: Message + Clone + Send + 'static>(self) -> Result<M> {
        let Some(message) = self.0 else { return Ok(M::default()) };
        let message: Box<dyn Any> = message;
        match message.downcast::<M>() {
            Ok(message) => Ok(*message),
            Err(other) => match other.downcast::<Raw>() {
                Ok(raw) => M::decode_from_slice(&raw.0)
                    .map_err(|why| Error::new(Code::INVALID_ARGUMENT, format!("not a valid message: {why}"))),
                Err(_) => Err(Error::new(Code::INTERNAL, "the message has another type than the method declares")),
            },
        }
    }

    /// Nothing inside is expected; whatever is there is dropped. For generated code.
    ///
    /// # Errors
    /// Never; the signature is that of [`Payload::take`].
    pub fn take_unit(self) -> Result<()> {
        Ok(())
    }

    /// The encoded message.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.map_or_else(Bytes::new, |message| message.encode())
    }
}

impl Clone for Payload {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(|message| message.copy()))
    }
}

/// Two bodies are equal when they encode to the same bytes.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_bytes() == other.clone().into_bytes()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Payload(empty)"),
            Some(message) => write!(f, "Payload({} bytes)", message.encode().len()),
        }
    }
}
