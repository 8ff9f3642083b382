//! `bbq demo`: a cluster of five nodes in one process, with the example games, bots and web pages.

use std::future::Future;
use std::time::Duration;

use bbq_client::Client;
use bbq_client::Options as ClientOptions;
use gobbq::Options;
use gobbq::Pages;
use gobbq::node::{Node, Parts};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::args::Demo;
use crate::center::block_on;
use crate::failure::Result;
use crate::logs;
use crate::node;
use crate::pages::page;
use crate::print::{self, Colour, Style};
use crate::signals::End;

/// A bot that lost its game tries again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Bots come one after the other.
const APART: Duration = Duration::from_millis(50);

/// The example games.
pub(crate) fn parts() -> Parts {
    let definitions = example_arena::definitions().into_iter().chain(example_chat::definitions());
    let schemas = [example_arena::DESCRIPTOR, example_chat::DESCRIPTOR].map(bytes::Bytes::from_static);
    Parts { definitions: definitions.collect(), schemas: schemas.to_vec(), ..Parts::default() }
}

pub(crate) fn run(args: &Demo) -> Result<()> {
    logs::start(LevelFilter::ERROR);
    block_on(async {
        let mut end = End::after(args.life.run_for)?;
        let cluster = Cluster::start(args).await?;
        let result = live(args, &cluster, &mut end).await;
        let saved = cluster.stop().await;
        result.and(saved)
    })
}

async fn live(args: &Demo, cluster: &Cluster, end: &mut End) -> Result<()> {
    let gate = cluster.gate.clone();
    let bots = bots(&gate, args.bots);
    announce(args, cluster)?;
    let ended = tokio::select! {
        () = end.wait() => Ok(()),
        failure = node::first_over(&cluster.nodes) => Err(failure),
    };
    bots.into_iter().for_each(|bot| bot.abort());
    ended
}

/// The nodes, in the order in which they were started.
struct Cluster {
    nodes: Vec<(&'static str, Node)>,
    center: String,
    gate: String,
}

impl Cluster {
    async fn start(args: &Demo) -> Result<Self> {
        let center = node::start(&options("center", "center", args, None), Parts::default()).await?;
        let at = |node: &Node, role: &str| node::addresses(node)[role].as_str().unwrap_or_default().to_owned();
        let address = at(&center, "center");
        let mut nodes = vec![("center", center)];
        let gate = Parts { pages: Pages::new(page), ..Parts::default() };
        let others = [
            ("proxy", "proxy", Parts::default()),
            ("game-1", "game", parts()),
            ("game-2", "game", parts()),
            ("gate", "gate", gate),
        ];
        for (name, role, parts) in others {
            match node::start(&options(name, role, args, Some(&address)), parts).await {
                Ok(node) => nodes.push((name, node)),
                Err(failure) => {
                    let _ = Self { nodes, center: address, gate: String::new() }.stop().await;
                    return Err(failure);
                }
            }
        }
        let gate = nodes.last().map(|(_, gate)| at(gate, "gate")).unwrap_or_default();
        Ok(Self { nodes, center: address, gate })
    }

    async fn stop(self) -> Result<()> {
        let mut saved = Ok(());
        for (_, node) in self.nodes.into_iter().rev() {
            saved = saved.and(node::stop(node).await);
        }
        saved
    }
}

fn options(name: &str, role: &str, args: &Demo, center: Option<&str>) -> Options {
    Options {
        roles: node::roles(role),
        name: name.to_owned(),
        center: center.map(str::to_owned),
        center_listen: args.center_listen,
        gate_listen: args.listen,
        // Two games share the cores.
        worlds: 1,
        ..Options::default()
    }
}

/// Half of them fly, half of them chat, until they are aborted.
fn bots(gate: &str, count: u32) -> Vec<tokio::task::JoinHandle<()>> {
    let address = format!("tcp://{gate}");
    let bot = |n: u32| {
        let options = ClientOptions::new(address.clone()).guest(format!("bot-{n}"));
        tokio::spawn(async move {
            tokio::time::sleep(APART * n).await;
            if n.is_multiple_of(2) {
                again(options, n, example_arena::bots::bot).await;
            } else {
                again(options, n, example_chat::bots::bot).await;
            }
        })
    };
    (0..count).map(bot).collect()
}

/// Plays, and comes back when the game goes away.
async fn again<F, Fut>(options: ClientOptions, n: u32, play: F)
where
    F: Fn(Client, u64) -> Fut,
    Fut: Future<Output = bbq_wire::Result<()>>,
{
    loop {
        let played = match Client::connect(options.clone()).await {
            Ok(client) => play(client, u64::from(n)).await,
            Err(why) => Err(why),
        };
        if let Err(why) = played {
            tracing::debug!(bot = n, %why, "a bot tries again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn announce(args: &Demo, cluster: &Cluster) -> Result<()> {
    let Cluster { gate, center, .. } = cluster;
    let has_pages = page("/").is_some();
    if let Some(path) = &args.life.ready_file {
        node::write_ready_file(path, &ready(args, cluster))?;
    }
    let style = Style::of_stdout();
    let title = style.paint(Colour::Bold, "gobbq is up");
    print::line(format_args!("{title}: 1 center, 1 proxy, 2 games, 1 gate, {} bots\n", args.bots))?;
    let row = |name: &str, what: String| print::line(format_args!("  {name:<8} {}", style.paint(Colour::Cyan, what)));
    if has_pages {
        row("pages", format!("http://{gate}/"))?;
        row("arena", format!("http://{gate}/arena.html"))?;
        row("chat", format!("http://{gate}/chat.html"))?;
    }
    row("clients", format!("ws://{gate}/bbq  tcp://{gate}"))?;
    row("center", center.clone())?;
    print::line("\n  bbq status                      what runs")?;
    print::line("  bbq call Directory/all List     the rooms of the chat")?;
    print::line("\nctrl-C ends it")
}

fn ready(args: &Demo, cluster: &Cluster) -> Value {
    let Cluster { gate, center, .. } = cluster;
    json!({
        "gate": gate,
        "center": center,
        "pages": format!("http://{gate}/"),
        "arena": format!("http://{gate}/arena.html"),
        "chat": format!("http://{gate}/chat.html"),
        "nodes": cluster.nodes.len(),
        "bots": args.bots,
        "pid": std::process::id(),
    })
}
