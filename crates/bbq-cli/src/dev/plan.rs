//! What `bbq dev` does when: builds, and which game runs. Only decisions; `super` carries them out.
//!
//! ```text
//!  changed ─► build ─ok─► ask the old game to stop ─ended─► start the new one ─ready─► live
//!                └─failed─► the old game goes on
//! ```
//! Files that change during a build are built once more before anything is restarted.

use std::path::PathBuf;
use std::time::Duration;

/// Time since `bbq dev` began.
pub(crate) type Now = Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// Build for the first time.
    Begin,
    /// Files changed; the first of them.
    Changed(String),
    Built {
        program: PathBuf,
        /// Nothing had to be built.
        fresh: bool,
    },
    BuildFailed,
    /// The game listens and takes part.
    Ready,
    /// The game has ended, for this reason.
    Ended(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    Build,
    /// Ask the game to stop.
    Stop,
    Start(PathBuf),
    /// Something to say.
    Say(String),
    /// There is no point in going on: the first build failed or the first game ended, and nobody watches.
    GiveUp(GaveUp),
}

/// Why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GaveUp {
    Build,
    Game,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Game {
    None,
    Starting,
    Running,
    /// Asked to stop; then this one starts.
    Stopping(PathBuf),
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether changes come.
    watch: bool,
    building: bool,
    /// Something changed since the build began.
    stale: bool,
    /// The change that is on its way: when it was seen, and what it was.
    change: Option<(Now, String)>,
    build_began: Now,
    built_in: Duration,
    game: Game,
}

impl Plan {
    pub(crate) fn new(watch: bool) -> Self {
        Self {
            watch,
            building: false,
            stale: false,
            change: None,
            build_began: Duration::ZERO,
            built_in: Duration::ZERO,
            game: Game::None,
        }
    }

    pub(crate) fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        match input {
            Input::Begin => self.build(now),
            Input::Changed(what) => {
                self.change.get_or_insert((now, what));
                if self.building {
                    self.stale = true;
                    return Vec::new();
                }
                self.build(now)
            }
            Input::BuildFailed => self.failed(now),
            Input::Built { program, fresh } => self.built(now, program, fresh),
            Input::Ready => self.ready(now),
            Input::Ended(why) => self.ended(&why),
        }
    }

    fn build(&mut self, now: Now) -> Vec<Output> {
        (self.building, self.stale, self.build_began) = (true, false, now);
        vec![Output::Build]
    }

    fn failed(&mut self, now: Now) -> Vec<Output> {
        self.building = false;
        if self.stale {
            return self.build(now);
        }
        self.change = None;
        if !self.watch {
            return vec![Output::GiveUp(GaveUp::Build)];
        }
        let then = match self.game {
            Game::None => "waiting for the next change",
            _ => "the last version that did build goes on running",
        };
        vec![Output::Say(format!("does not build; {then}"))]
    }

    fn built(&mut self, now: Now, program: PathBuf, fresh: bool) -> Vec<Output> {
        self.building = false;
        if self.stale {
            return self.build(now);
        }
        self.built_in = now.saturating_sub(self.build_began);
        match &mut self.game {
            // A change that changes nothing restarts nothing.
            Game::Starting | Game::Running if fresh => {
                self.change = None;
                vec![Output::Say("the program is the same: nothing to restart".to_owned())]
            }
            Game::None => {
                self.game = Game::Starting;
                vec![Output::Start(program)]
            }
            Game::Starting | Game::Running => {
                self.game = Game::Stopping(program);
                vec![Output::Stop]
            }
            Game::Stopping(next) => {
                *next = program;
                Vec::new()
            }
        }
    }

    fn ready(&mut self, now: Now) -> Vec<Output> {
        if self.game != Game::Starting {
            return Vec::new();
        }
        self.game = Game::Running;
        let built = self.built_in.as_secs_f64();
        let text = match self.change.take() {
            Some((since, what)) => {
                let whole = now.saturating_sub(since).as_secs_f64();
                format!("{what} changed: live again in {whole:.1} s (build {built:.1} s)")
            }
            None => format!("the game is live (build {built:.1} s)"),
        };
        vec![Output::Say(text)]
    }

    fn ended(&mut self, why: &str) -> Vec<Output> {
        match std::mem::replace(&mut self.game, Game::None) {
            Game::None => Vec::new(),
            Game::Stopping(next) => {
                self.game = Game::Starting;
                vec![Output::Start(next)]
            }
            Game::Starting | Game::Running if !self.watch => vec![Output::GiveUp(GaveUp::Game)],
            Game::Starting => vec![Output::Say(format!("the game ended before it was ready ({why}); {NEXT}"))],
            Game::Running => vec![Output::Say(format!("the game ended by itself ({why}); {NEXT}"))],
        }
    }
}

const NEXT: &str = "it starts again after the next change";

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    fn built(name: &str) -> Input {
        Input::Built { program: name.into(), fresh: false }
    }

    fn changed() -> Input {
        Input::Changed("src/room.rs".to_owned())
    }

    /// A plan with a running game, at 5 seconds.
    fn running(watch: bool) -> Plan {
        let mut plan = Plan::new(watch);
        assert_eq!(plan.handle(seconds(0), Input::Begin), [Output::Build]);
        assert_eq!(plan.handle(seconds(4), built("one")), [Output::Start("one".into())]);
        let said = plan.handle(seconds(5), Input::Ready);
        assert_eq!(said, [Output::Say("the game is live (build 4.0 s)".to_owned())]);
        plan
    }

    #[test]
    fn a_change_is_built_and_the_new_game_starts_when_the_old_one_has_ended() {
        let mut plan = running(true);
        assert_eq!(plan.handle(seconds(10), changed()), [Output::Build]);
        assert_eq!(plan.handle(seconds(12), built("two")), [Output::Stop]);
        assert_eq!(plan.handle(seconds(13), Input::Ended("exit code 0".into())), [Output::Start("two".into())]);
        let said = plan.handle(seconds(14), Input::Ready);
        assert_eq!(said, [Output::Say("src/room.rs changed: live again in 4.0 s (build 2.0 s)".to_owned())]);
    }

    #[test]
    fn a_build_that_fails_leaves_the_old_game_alone() {
        let mut plan = running(true);
        plan.handle(seconds(10), changed());
        let said = plan.handle(seconds(12), Input::BuildFailed);
        assert!(matches!(said.as_slice(), [Output::Say(text)] if text.contains("goes on running")), "{said:?}");
        assert_eq!(plan.handle(seconds(20), changed()), [Output::Build]);
        assert_eq!(plan.handle(seconds(21), built("two")), [Output::Stop]);
    }

    #[test]
    fn changes_during_a_build_are_built_before_anything_restarts() {
        let mut plan = running(true);
        plan.handle(seconds(10), changed());
        assert_eq!(plan.handle(seconds(11), changed()), []);
        assert_eq!(plan.handle(seconds(12), built("two")), [Output::Build]);
        assert_eq!(plan.handle(seconds(13), built("three")), [Output::Stop]);
        // Built once more while the old one still saves its entities: the newest starts.
        assert_eq!(plan.handle(seconds(14), changed()), [Output::Build]);
        assert_eq!(plan.handle(seconds(15), built("four")), []);
        assert_eq!(plan.handle(seconds(16), Input::Ended("exit code 0".into())), [Output::Start("four".into())]);
    }

    #[test]
    fn a_change_that_changes_nothing_restarts_nothing() {
        let mut plan = running(true);
        plan.handle(seconds(10), changed());
        let said = plan.handle(seconds(11), Input::Built { program: "one".into(), fresh: true });
        assert!(matches!(said.as_slice(), [Output::Say(text)] if text.contains("nothing to restart")), "{said:?}");
    }

    #[test]
    fn a_game_that_ends_by_itself_waits_for_a_change_or_ends_everything() {
        let mut plan = running(true);
        let said = plan.handle(seconds(9), Input::Ended("signal 6".into()));
        assert!(matches!(said.as_slice(), [Output::Say(text)] if text.contains("signal 6")), "{said:?}");
        assert_eq!(plan.handle(seconds(10), changed()), [Output::Build]);
        // The program is up to date, but nothing runs.
        let again = plan.handle(seconds(11), Input::Built { program: "one".into(), fresh: true });
        assert_eq!(again, [Output::Start("one".into())]);
        let alone = running(false).handle(seconds(9), Input::Ended("exit code 1".into()));
        assert_eq!(alone, [Output::GiveUp(GaveUp::Game)]);
    }

    #[test]
    fn without_watching_a_first_build_that_fails_is_the_end() {
        let mut plan = Plan::new(false);
        plan.handle(seconds(0), Input::Begin);
        assert_eq!(plan.handle(seconds(1), Input::BuildFailed), [Output::GiveUp(GaveUp::Build)]);
        let mut plan = Plan::new(true);
        plan.handle(seconds(0), Input::Begin);
        let said = plan.handle(seconds(1), Input::BuildFailed);
        assert!(matches!(said.as_slice(), [Output::Say(text)] if text.contains("next change")), "{said:?}");
    }
}
