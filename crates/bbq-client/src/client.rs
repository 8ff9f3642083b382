//! [`Client`]: what an application holds.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::client::Input;
use bbq_wire::{Code, Error, Key, Result, SessionId};
use buffa::Message;
use bytes::Bytes;

use crate::address::Address;
use crate::driver::Driver;
use crate::options::Options;
use crate::queue::Receiver;
use crate::shared::{Event, Push, Request, Shared};

/// One player's presence at a gate, across connections. Cheap to clone; the session ends with the last clone or with
/// [`Client::close`].
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    timeout: Duration,
}

impl Client {
    /// Connects and waits for the session. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the gate answers (`UNAUTHENTICATED`, ..), `INVALID_ARGUMENT` for a bad address, `UNAVAILABLE` when there
    /// is no session within [`Options::connect_within`].
    pub async fn connect(options: Options) -> Result<Self> {
        let (client, first) = Self::start(&options)?;
        match tokio::time::timeout(options.connect_within, first).await {
            Ok(Ok(result)) => result.map(|()| client),
            Ok(Err(_)) => Err(Error::new(Code::CANCELLED, "the runtime shuts down")),
            Err(_) => Err(Error::new(Code::UNAVAILABLE, client.handle.shared.failure())),
        }
    }

    fn start(options: &Options) -> Result<(Self, tokio::sync::oneshot::Receiver<Result<()>>)> {
        let address = Address::parse(&options.address)?;
        let shared = Arc::new(Shared::new(options));
        let first = shared.on_first_session();
        tokio::spawn(Driver::new(shared.clone(), address, options));
        Ok((Self { handle: Arc::new(Handle { shared, timeout: options.timeout }) }, first))
    }

    /// Calls a method with an encoded request. Without a key it is that of a service, or of the entity that the
    /// session is bound to. While there is no connection, the call waits for one.
    ///
    /// # Errors
    /// What the server answers; `DEADLINE_EXCEEDED` after `timeout`; `BUSY` when too much waits already;
    /// `OUTCOME_UNKNOWN` when the session was lost after the call was sent; `NOT_SENT` when the client is closed.
    pub async fn call(
        &self,
        method: u32,
        key: Option<Key>,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes> {
        let reply = self.shared().call(method, key, body.into(), timeout);
        reply.await.unwrap_or_else(|_| Err(Error::new(Code::CANCELLED, "the runtime shuts down")))
    }

    /// Calls a method with a message, within [`Options::timeout`].
    ///
    /// # Errors
    /// As [`Client::call`]; `INTERNAL` when the reply is no valid `Rsp`.
    pub async fn ask<Req: Message, Rsp: Message>(&self, method: u32, key: Option<Key>, request: &Req) -> Result<Rsp> {
        let reply = self.call(method, key, request.encode_to_bytes(), self.handle.timeout).await?;
        Rsp::decode_from_slice(&reply)
            .map_err(|error| Error::new(Code::INTERNAL, format!("the reply is not a valid message: {error}")))
    }

    /// Tells the server something. It is delivered once and in order, if the session lives.
    ///
    /// # Errors
    /// `BUSY` when too much waits already, `FRAME_TOO_LARGE`, `NOT_SENT` when the client is closed.
    pub fn notify(&self, method: u32, key: Option<Key>, body: impl Into<Bytes>) -> Result<()> {
        self.shared().notify(method, key, body.into())
    }

    /// As [`Client::notify`], with a message.
    ///
    /// # Errors
    /// As [`Client::notify`].
    pub fn tell<Req: Message>(&self, method: u32, key: Option<Key>, message: &Req) -> Result<()> {
        self.notify(method, key, message.encode_to_bytes())
    }

    /// The entity `key`, or the services when there is none: what generated stubs are made of.
    #[must_use]
    pub fn at(&self, key: Option<Key>) -> Remote {
        Remote { client: self.clone(), key }
    }

    /// What the server pushes. Take them in a task of their own: when [`Options::push_queue`] of them wait, the client
    /// stops reading from the gate. An earlier receiver ends.
    #[must_use]
    pub fn pushes(&self) -> Receiver<Push> {
        self.shared().pushes.receiver()
    }

    /// What becomes of the connection, the first [`Event::Online`] included. The newest 64 are kept. An earlier
    /// receiver ends.
    #[must_use]
    pub fn events(&self) -> Receiver<Event> {
        self.shared().events.receiver()
    }

    /// Answers what the server asks of this client, each request in a task of its own. Until then they are answered
    /// `UNIMPLEMENTED`; a handler that panics answers `PANICKED`.
    pub fn on_request<F, Fut>(&self, handler: F)
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        self.shared().set_handler(Arc::new(move |request| Box::pin(handler(request))));
    }

    /// The credential for the next login, should the session be lost.
    pub fn set_token(&self, token: impl Into<Bytes>) {
        self.shared().handle(Input::Token(token.into()));
    }

    /// The session, while there is one.
    #[must_use]
    pub fn sid(&self) -> Option<SessionId> {
        self.shared().sid()
    }

    /// Most calls that the gate runs at a time for this client; more are answered `BUSY`. `None` before it has said so.
    #[must_use]
    pub fn max_calls(&self) -> Option<u32> {
        self.shared().max_calls()
    }

    /// The account that the gate found in the credential.
    #[must_use]
    pub fn account(&self) -> String {
        self.shared().account()
    }

    /// Whether calls go out at once.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.shared().is_online()
    }

    /// Whether a call or notification with a body of `body_len` bytes would be taken now.
    #[must_use]
    pub fn has_room(&self, body_len: usize) -> bool {
        self.shared().has_room(body_len)
    }

    /// Breaks the connection without a word, as a bad network does. For tests: the client reconnects and resumes.
    pub fn cut(&self) {
        self.shared().cut();
    }

    /// Ends the session: calls that wait fail, receivers end.
    pub fn close(&self) {
        self.shared().handle(Input::Close);
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.handle(Input::Close);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("sid", &self.sid()).field("online", &self.is_online()).finish()
    }
}

/// One entity (or the services) as seen by one client. Generated stubs wrap it.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    key: Option<Key>,
}

impl Remote {
    /// The client that carries the calls.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The entity, if it is one.
    #[must_use]
    pub const fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Calls a method, within [`Options::timeout`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn ask<Req: Message, Rsp: Message>(&self, method: u32, request: &Req) -> Result<Rsp> {
        self.client.ask(method, self.key.clone(), request).await
    }

    /// Tells it something.
    ///
    /// # Errors
    /// As [`Client::notify`].
    pub fn tell<Req: Message>(&self, method: u32, message: &Req) -> Result<()> {
        self.client.tell(method, self.key.clone(), message)
    }
}
