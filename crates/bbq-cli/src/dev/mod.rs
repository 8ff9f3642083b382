//! `bbq dev`: the project as a whole cluster in one terminal.
//!
//! Center, proxy and gate run in this process and stay; the game is the project's own program, a child that is built,
//! started and replaced as [`plan`] says.

mod plan;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use gobbq::Options;
use gobbq::node::Parts;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::args::Dev;
use crate::cargo::{Built, build};
use crate::center::block_on;
use crate::child::{Game, tied_to_us};
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::logs::{self, Source};
use crate::node;
use crate::print;
use crate::project::Project;
use crate::signals::End;
use plan::{GaveUp, Input, Output, Plan};
use watch::Changes;

/// How often we look whether the game is ready.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(args: &Dev) -> Result<()> {
    let project = Project::here()?;
    logs::start(LevelFilter::INFO);
    block_on(async {
        let mut end = End::after(args.life.run_for)?;
        let node = node::start(&options(args), Parts::default()).await?;
        let addresses = node::addresses(&node);
        let mut dev = Session::new(args, project, addresses)?;
        let result = tokio::select! {
            result = dev.run(&mut end) => result,
            failure = node::over("the center, proxy and gate of bbq dev", &node) => Err(failure),
        };
        let stopped = dev.stop().await;
        let saved = node::stop(node).await;
        result.and(stopped).and(saved)
    })
}

fn options(args: &Dev) -> Options {
    Options {
        roles: node::roles("center,proxy,gate"),
        name: "dev".to_owned(),
        center_listen: args.center_listen,
        gate_listen: args.listen,
        data: args.data.clone(),
        control_plane: args.control_plane.clone(),
        ..Options::default()
    }
}

type Building = Pin<Box<dyn Future<Output = Result<Built>>>>;

/// Everything that goes on besides the node.
struct Session<'a> {
    args: &'a Dev,
    project: Project,
    addresses: Value,
    start: Instant,
    plan: Plan,
    changes: Option<Changes>,
    building: Option<Building>,
    game: Option<Game>,
    /// The game that was asked to stop.
    stopping: Option<Pin<Box<dyn Future<Output = bool>>>>,
    /// Written by the game when it is ready.
    ready: PathBuf,
    is_ready: bool,
    announced: bool,
}

impl<'a> Session<'a> {
    fn new(args: &'a Dev, project: Project, addresses: Value) -> Result<Self> {
        let changes = args.watch.then(|| Changes::of(&project.root)).transpose()?;
        let ready = std::env::temp_dir().join(format!("bbq-dev-{}.json", std::process::id()));
        let plan = Plan::new(args.watch);
        Ok(Self {
            args,
            project,
            addresses,
            start: Instant::now(),
            plan,
            changes,
            building: None,
            game: None,
            stopping: None,
            ready,
            is_ready: false,
            announced: false,
        })
    }

    async fn run(&mut self, end: &mut End) -> Result<()> {
        let mut input = Input::Begin;
        loop {
            for output in self.plan.handle(self.start.elapsed(), input) {
                self.carry_out(output)?;
            }
            input = tokio::select! {
                () = end.wait() => return Ok(()),
                input = self.next() => input?,
            };
            if input == Input::Ready {
                self.announce()?;
            }
        }
    }

    /// What happens next.
    async fn next(&mut self) -> Result<Input> {
        tokio::select! {
            change = next_change(&mut self.changes) => Ok(Input::Changed(change)),
            built = when(&mut self.building) => match built {
                Ok(Built { program, fresh, .. }) => Ok(Input::Built { program, fresh }),
                Err(failure) if failure.code == Code::BUILD => Ok(Input::BuildFailed),
                Err(failure) => Err(failure),
            },
            polite = when(&mut self.stopping) => {
                Ok(Input::Ended(if polite { "it was asked to" } else { "killed" }.to_owned()))
            }
            why = ended(&mut self.game) => {
                self.game = None;
                Ok(Input::Ended(why))
            }
            () = is_ready(&self.ready), if self.game.is_some() && !self.is_ready => {
                self.is_ready = true;
                Ok(Input::Ready)
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Result<()> {
        match output {
            Output::Build => {
                let project = self.project.clone();
                self.building = Some(Box::pin(async move { build(&project, false).await }));
            }
            Output::Stop => {
                if let Some(game) = self.game.take() {
                    self.stopping = Some(Box::pin(game.stop()));
                }
            }
            Output::Start(program) => {
                // A file of the last game would announce this one too early.
                drop(std::fs::remove_file(&self.ready));
                self.is_ready = false;
                let (program, arguments) = tied_to_us(program, self.arguments());
                self.game = Some(Game::start(&program, &arguments, &self.project.root)?);
            }
            Output::Say(text) => logs::line(Source::Bbq, text),
            Output::GiveUp(GaveUp::Build) => {
                let what = format!("{} does not build", self.project.name);
                return Err(Failure::new(Code::BUILD, what).fix("see the errors above; with --watch, bbq dev waits"));
            }
            Output::GiveUp(GaveUp::Game) => {
                let fix = "see its output above; with --watch, bbq dev starts it again after the next change";
                return Err(Failure::new(Code::GAME_ENDED, format!("{} has ended", self.project.name)).fix(fix));
            }
        }
        Ok(())
    }

    fn arguments(&self) -> Vec<OsString> {
        let center = self.addresses["center"].as_str().unwrap_or_default();
        let mut arguments: Vec<OsString> = ["--role=game", "--name=game"].map(OsString::from).to_vec();
        arguments.push(format!("--center={center}").into());
        arguments.push("--ready-file".into());
        arguments.push(self.ready.clone().into());
        arguments
    }

    /// The cluster is complete for the first time: people and programs hear where it is.
    fn announce(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.announced, true) {
            return Ok(());
        }
        let at = |name: &str| self.addresses[name].as_str().unwrap_or_default().to_owned();
        let (gate, center) = (at("gate"), at("center"));
        print::line(format_args!("gate    ws://{gate}/ and tcp://{gate}"))?;
        print::line(format_args!("center  {center}   (bbq status --center {center})"))?;
        if self.args.watch {
            print::line("edit proto/ or src/: it is live again by itself; ctrl-C ends everything")?;
        }
        match &self.args.life.ready_file {
            Some(path) => {
                node::write_ready_file(path, &json!({ "addresses": self.addresses, "pid": std::process::id() }))
            }
            None => Ok(()),
        }
    }

    /// Ends the game and whatever is being built.
    async fn stop(self) -> Result<()> {
        drop(self.building);
        if let Some(stopping) = self.stopping {
            stopping.await;
        }
        if let Some(game) = self.game
            && !game.stop().await
        {
            logs::line(Source::Bbq, "the game did not stop in time and was killed");
        }
        drop(std::fs::remove_file(&self.ready));
        Ok(())
    }
}

async fn next_change(changes: &mut Option<Changes>) -> String {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for what is under way, and forgets it when it is over.
async fn when<T>(task: &mut Option<Pin<Box<dyn Future<Output = T>>>>) -> T {
    match task {
        Some(running) => {
            let value = running.as_mut().await;
            *task = None;
            value
        }
        None => std::future::pending().await,
    }
}

async fn ended(game: &mut Option<Game>) -> String {
    match game {
        Some(game) => game.ended().await,
        None => std::future::pending().await,
    }
}

async fn is_ready(path: &std::path::Path) {
    while !path.exists() {
        tokio::time::sleep(LOOK).await;
    }
}
