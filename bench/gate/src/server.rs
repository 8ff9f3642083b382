//! `serve gobbq THREADS [CERTIFICATE KEY] | echo THREADS | writes CONNECTIONS`: a server. Its first line is its address; every line that it is sent it answers with
//! how many sessions are attached. It ends with its input.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use gobbq::Options;
use gobbq::node::{Node, Parts};
use gobbq::prelude::*;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{Failure, floor};

gobbq::include_proto!();

use bench::{HallEntity, HallRef, ListenerRef, ParrotEntity, ParrotRef, Words};

const LOOPBACK: &str = "127.0.0.1:0";
/// The group of everybody.
const ALL: &str = "all";

#[derive(Debug)]
struct Parrot;

impl ParrotEntity for Parrot {
    fn new(_: &EntityId) -> Self {
        Self
    }

    async fn say(&mut self, _: &Ctx, words: Words) -> Result<Words> {
        Ok(words)
    }
}

#[derive(Debug)]
struct Hall;

impl HallEntity for Hall {
    fn new(_: &EntityId) -> Self {
        Self
    }

    async fn enter(&mut self, ctx: &Ctx) -> Result<()> {
        ctx.group(ALL).join(&ctx.require_client()?);
        Ok(())
    }

    async fn shout(&mut self, ctx: &Ctx, words: Words) -> Result<()> {
        ctx.group(ALL).client::<ListenerRef>().heard(words).tell();
        Ok(())
    }
}

pub(crate) fn run(words: &[&str]) -> std::result::Result<(), Failure> {
    match *words {
        ["gobbq", threads, ref tls @ ..] => runtime(threads)?.block_on(serve(tls)),
        ["echo", threads] => runtime(threads)?.block_on(async {
            let listener = tokio::net::TcpListener::bind(LOOPBACK).await?;
            println!("{}", json!(listener.local_addr()?.to_string()));
            Ok(floor::echo(listener).await?)
        }),
        ["writes", connections] => {
            let listener = std::net::TcpListener::bind(LOOPBACK)?;
            println!("{}", json!(listener.local_addr()?.to_string()));
            Ok(floor::write_loop(&listener, connections.parse()?)?)
        }
        _ => Err("serve gobbq THREADS [CERTIFICATE KEY] | echo THREADS | writes CONNECTIONS".into()),
    }
}

fn runtime(threads: &str) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        "one" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

async fn serve(tls: &[&str]) -> std::result::Result<(), Failure> {
    let tls = match tls {
        [certificate, key] => Some((PathBuf::from(certificate), PathBuf::from(key))),
        _ => None,
    };
    let any = LOOPBACK.parse()?;
    let options = Options {
        name: "bench".into(),
        center_listen: any,
        gate_listen: any,
        mesh_listen: any,
        tls,
        ..Options::default()
    };
    let definitions = vec![ParrotRef::entity::<Parrot>(), HallRef::entity::<Hall>()];
    let node = Node::start(&options, Arc::new(Parts { definitions, ..Parts::default() })).await?;
    let mut questions = questions();
    println!("{}", json!(node.addresses().gate));
    while questions.recv().await.is_some() {
        let stats = node.gate().ok_or("no gate")?.stats().await;
        println!("{}", json!({ "attached": stats.attached, "refused": format!("{:?}{:?}", stats.refused, stats.cut) }));
    }
    Ok(())
}

/// A message for each line of the input.
fn questions() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            if sender.blocking_send(()).is_err() {
                return;
            }
        }
    });
    receiver
}
