//! A new project is built, tested, run with `bbq dev --watch`, changed while it runs, and keeps its state.
//!
//! It shares the target directory of this workspace, so that only gobbq itself is compiled again.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bbq_client::{Client, Options};
use bbq_wire::id::method_id;

use crate::harness::{Directory, Running, bbq, cargo_settings, command, new_project, wait};

#[test]
fn a_new_project_is_tested_run_and_changed_while_it_runs() {
    let directory = Directory::new();
    let project = new_project(&directory, "seedling");

    let start = Instant::now();
    let mut test = Command::new(env!("CARGO"));
    cargo_settings(&mut test);
    let tested = test.arg("test").current_dir(&project).output().expect("cargo runs");
    let text = String::from_utf8_lossy(&tested.stdout).into_owned() + &String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success() && text.contains("3 passed"), "{text}");
    eprintln!("cargo test of a new project: {:.1} s", start.elapsed().as_secs_f64());

    let mut dev = command(&project);
    cargo_settings(&mut dev);
    dev.args(["dev", "--watch", "--listen", "127.0.0.1:0", "--center-listen", "127.0.0.1:0"]);
    let dev = Running::of(&directory, dev);
    let center = dev.ready["addresses"]["center"].as_str().expect("an address").to_owned();
    let call =
        |arguments: &[&str]| bbq(&project, &[&["call", "Room/lobby"], arguments, &["--center", &center]].concat());
    let said = call(&["Say", r#"{"text": "before"}"#]);
    assert_eq!(said.code, 0, "{said:?}");

    // A player, who stays connected all the time.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let gate = dev.ready["addresses"]["gate"].as_str().expect("an address");
    let player = Options::new(format!("tcp://{gate}")).guest("ann");
    let player = runtime.block_on(Client::connect(player)).expect("a session");
    let session = player.sid();
    let mut pushes = player.pushes();
    let join = player.call(method_id("seedling.Room/Join"), Some("lobby".into()), Vec::new(), Duration::from_secs(5));
    runtime.block_on(join).expect("the room lets her in");
    let say = |text: &str| {
        let body = [&[0x0a, text.len() as u8], text.as_bytes()].concat();
        let call = player.call(method_id("seedling.Room/Say"), Some("lobby".into()), body, Duration::from_secs(5));
        runtime.block_on(call).map(drop)
    };
    say("hello").expect("an answer");

    // What does not build changes nothing.
    let source = project.join("src/room.rs");
    let text = std::fs::read_to_string(&source).expect("a source");
    std::fs::write(&source, format!("{text}\nfn broken( {{")).expect("written");
    dev.wait_for("does not build");
    assert_eq!(call(&["Say", r#"{"text": "still"}"#]).code, 0);

    let start = Instant::now();
    std::fs::write(&source, text.replace("there is nothing to say", "silence is no line")).expect("written");
    dev.wait_for("src/room.rs changed: live again in");
    eprintln!("a change is live again after {:.1} s", start.elapsed().as_secs_f64());
    assert!(player.is_online() && player.sid() == session, "the session goes on");
    // Said by somebody else: the next life of the room knows who is in it, and nobody had to join again.
    assert_eq!(call(&["Say", r#"{"text": "after"}"#]).code, 0);
    let heard = runtime.block_on(async {
        let until_after = async {
            while let Some(push) = pushes.next().await {
                if push.body.ends_with(b"after") {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(Duration::from_secs(20), until_after).await
    });
    assert_eq!(heard, Ok(true), "she hears what is said in the new game");
    say("still me").expect("an answer of the new game");
    let refused = call(&["Say"]);
    assert!(refused.err.contains("silence is no line"), "the new program answers: {refused:?}");
    let state = call(&["Join"]);
    assert!(state.out.contains("before") && state.out.contains("still"), "the state is there: {state:?}");
    player.close();

    // Killed, it cannot stop its game: the game notices by itself.
    let game = processes_of(&project);
    assert_eq!(game.len(), 1, "the game: {game:?}");
    dev.kill();
    wait("end of the game", || processes_of(&project).is_empty().then_some(()));
}

/// Ids of the processes that run in this directory.
fn processes_of(directory: &Path) -> Vec<u32> {
    let directory = directory.canonicalize().expect("a directory");
    let all =
        std::fs::read_dir("/proc").expect("Linux").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let runs_here = |id: &u32| std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|path| path == directory);
    let is_game = |id: &u32| std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|path| path.ends_with("seedling"));
    all.filter(runs_here).filter(is_game).collect()
}

/// A project without gobbq, which builds in a second, and its `bbq dev`.
fn quick(build: &str, main: &str, arguments: &[&str]) -> (Directory, Running) {
    let manifest = "[package]\nname = \"quick\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    let directory = Directory::new().with("Cargo.toml", manifest).with("build.rs", build).with("src/main.rs", main);
    let mut dev = command(directory.path());
    dev.env("CARGO_NET_OFFLINE", "true").env("NO_COLOR", "1").env_remove("RUSTFLAGS");
    dev.args(["dev", "--listen", "127.0.0.1:0", "--center-listen", "127.0.0.1:0"]).args(arguments);
    let dev = Running::not_ready(&directory, dev);
    (directory, dev)
}

#[test]
fn a_game_that_ends_at_once_ends_bbq_dev_and_says_so() {
    let (_directory, mut dev) = quick("fn main() {}", "fn main() { std::process::exit(3) }", &[]);
    assert_eq!(dev.ended(), 1);
    assert!(dev.said().contains("error[BBQ-0033]: quick has ended"), "{}", dev.said());
}

#[test]
fn a_game_that_panics_at_start_waits_for_the_next_change() {
    let (directory, dev) = quick("fn main() {}", "fn main() { panic!(\"no such table\") }", &["--watch"]);
    dev.wait_for("no such table");
    dev.wait_for("the game ended before it was ready (exit code 101); it starts again after the next change");
    let directory = directory.with("src/main.rs", "fn main() { std::process::exit(7) }");
    dev.wait_for("before it was ready (exit code 7)");
    assert_eq!(dev.terminate(), 0);
    drop(directory);
}

#[test]
fn who_ends_bbq_dev_during_a_build_ends_the_build() {
    let build =
        "fn main() { std::fs::write(\"pid\", std::process::id().to_string()).unwrap(); loop { std::thread::park() } }";
    let (directory, dev) = quick(build, "fn main() {}", &["--watch"]);
    let at = directory.path().join("pid");
    let builder: u32 = wait("build script", || std::fs::read_to_string(&at).ok()?.parse().ok());
    assert_eq!(dev.terminate(), 0);
    let alive = || std::fs::read_to_string(format!("/proc/{builder}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    wait("end of the build script", || (!alive()).then_some(()));
}

#[test]
fn a_second_process_with_the_name_of_a_part_ends_bbq_dev_with_the_reason() {
    let sleeper = "fn main() { loop { std::thread::park() } }";
    let (directory, mut dev) = quick("fn main() {}", sleeper, &["--watch"]);
    let address = || {
        let said = dev.said();
        let (_, rest) = said.split_once("the center serves address=")?;
        Some(rest.split_whitespace().next()?.to_owned())
    };
    let center = wait("center", address);
    // A name that is taken while a node still starts ends the start, with another message.
    dev.wait_for("ready name=dev");
    let rival = ["run", "proxy", "--name", "dev", "--center", &center];
    let _rival = Running::start(&directory, &rival);
    assert_eq!(dev.ended(), 1);
    let said = dev.said();
    assert!(
        said.contains("error[BBQ-0043]: the center, proxy and gate of bbq dev: this node was declared dead"),
        "{said}"
    );
}
