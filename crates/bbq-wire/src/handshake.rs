//! The opening of one connection at a gate (`spec/wire.md`, section 3), until it has a session.
//!
//! ```text
//! HELLO -> AUTH | RESUME -> the shell decides -> a session is attached
//!             ^---- RESUME_FAILED ----'
//! ```

use std::time::Duration;

use crate::code::{Code, Error};
use crate::frame::{Auth, Frame, Resume, VERSION};
use crate::time::Time;

/// Time from connecting to WELCOME, by default.
pub const OPENING: Duration = Duration::from_secs(10);

/// The opening of one connection. While the shell decides, it reads no further frames from the connection.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    opened: Time,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Hello,
    Credentials,
    /// A RESUME failed: what the client queued behind it is dropped until it sends AUTH.
    OnlyAuth,
    Deciding,
}

/// What the shell does after a frame of the opening.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Read the next frame.
    Wait,
    /// Check the credential, then attach a new session, or answer with an error and close.
    Authenticate(Auth),
    /// Find the session and ask `GateSession::can_resume`, then attach it; or send what
    /// [`Handshake::resume_failed`] returns and go on.
    Resume(Resume),
    /// Answer with ERR and close.
    Fail(Error),
}

impl Handshake {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { opened: now, stage: Stage::Hello }
    }

    /// When the shell gives up with HANDSHAKE_TIMEOUT; `opening` is [`OPENING`] unless configured.
    #[must_use]
    pub fn deadline(&self, opening: Duration) -> Time {
        self.opened + opening
    }

    /// The next frame.
    pub fn on_frame(&mut self, frame: Frame) -> Step {
        match (self.stage, frame) {
            (Stage::Hello, Frame::Hello(hello)) if hello.version >= VERSION => {
                self.stage = Stage::Credentials;
                Step::Wait
            }
            (Stage::Hello, Frame::Hello(_)) => {
                Step::Fail(Error::new(Code::UNSUPPORTED_VERSION, format!("this gate speaks version {VERSION}")))
            }
            (Stage::Credentials | Stage::OnlyAuth, Frame::Auth(auth)) => {
                self.stage = Stage::Deciding;
                Step::Authenticate(auth)
            }
            (Stage::Credentials, Frame::Resume(resume)) => {
                self.stage = Stage::Deciding;
                Step::Resume(resume)
            }
            (Stage::OnlyAuth, Frame::Req(_) | Frame::Rsp(_) | Frame::Notify(_) | Frame::Ack { .. }) => Step::Wait,
            _ => Step::Fail(Error::new(Code::BAD_FRAME, "frame out of place while opening")),
        }
    }

    /// The session cannot be resumed: the frame that says so. The connection stays open and waits for AUTH.
    pub fn resume_failed(&mut self, why: &str) -> Frame {
        self.stage = Stage::OnlyAuth;
        Frame::Err(Error::new(Code::RESUME_FAILED, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Hello, Req};

    fn hello(version: u32) -> Frame {
        Frame::Hello(Hello { version, ..Hello::default() })
    }

    #[test]
    fn hello_and_auth_lead_to_a_decision() {
        let mut handshake = Handshake::new(Time::ZERO);
        assert_eq!(handshake.on_frame(hello(9)), Step::Wait);
        assert!(matches!(handshake.on_frame(Frame::Auth(Auth::default())), Step::Authenticate(_)));
        assert!(
            matches!(handshake.on_frame(Frame::Ack { seen: 0 }), Step::Fail(error) if error.code == Code::BAD_FRAME)
        );
    }

    #[test]
    fn behind_a_failed_resume_everything_is_dropped_until_auth() {
        let mut handshake = Handshake::new(Time::ZERO);
        assert_eq!(handshake.on_frame(hello(1)), Step::Wait);
        assert!(matches!(handshake.on_frame(Frame::Resume(Resume::default())), Step::Resume(_)));
        assert!(matches!(handshake.resume_failed("expired"), Frame::Err(error) if error.code == Code::RESUME_FAILED));
        assert_eq!(handshake.on_frame(Frame::Req(Req::default())), Step::Wait);
        assert!(matches!(handshake.on_frame(Frame::Resume(Resume::default())), Step::Fail(_)));
        assert!(matches!(handshake.on_frame(Frame::Auth(Auth::default())), Step::Authenticate(_)));
    }

    #[test]
    fn an_older_version_and_a_frame_before_hello_are_refused() {
        let step = Handshake::new(Time::ZERO).on_frame(hello(0));
        assert!(matches!(step, Step::Fail(error) if error.code == Code::UNSUPPORTED_VERSION));
        let step = Handshake::new(Time::ZERO).on_frame(Frame::Auth(Auth::default()));
        assert!(matches!(step, Step::Fail(error) if error.code == Code::BAD_FRAME));
    }
}
