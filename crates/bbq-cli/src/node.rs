//! Nodes in this process.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use bbq_core::mesh::Roles;
use gobbq::Options;
use gobbq::node::{Node, Parts};

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// A node that runs.
pub(crate) async fn start(options: &Options, parts: Parts) -> Result<Node> {
    Node::start(options, Arc::new(parts)).await.map_err(|why| {
        let fix = match why.fix() {
            "" => "bbq doctor; or choose other addresses: bbq help run",
            fix => fix,
        };
        Failure::new(Code::START, why.what()).fix(fix)
    })
}

/// Waits until a node cannot go on.
pub(crate) async fn over(name: &str, node: &Node) -> Failure {
    let why = node.failed().await;
    let who = if name.is_empty() { String::new() } else { format!("{name}: ") };
    Failure::new(Code::NODE_OVER, format!("{who}{}", why.what())).fix(why.fix())
}

/// Stops a node in good order.
pub(crate) async fn stop(node: Node) -> Result<()> {
    node.shutdown().await.map_err(|why| Failure::new(Code::UNSAVED, why.what()).fix(why.fix()))
}

/// Waits until one of several nodes cannot go on.
pub(crate) async fn first_over(nodes: &[(&str, Node)]) -> Failure {
    let mut open: Vec<_> = nodes.iter().map(|(name, node)| Box::pin(over(name, node))).collect();
    poll_fn(|context| {
        let ended = open.iter_mut().map(|one| one.as_mut().poll(context)).find(Poll::is_ready);
        ended.unwrap_or(Poll::Pending)
    })
    .await
}

/// Writes JSON for whoever waits until everything listens.
pub(crate) fn write_ready_file(path: &Path, value: &serde_json::Value) -> Result<()> {
    gobbq::node::write_ready_file(path, &format!("{value:#}\n")).map_err(|why| Failure::write(path, &why))
}

/// Where a node listens, by role.
pub(crate) fn addresses(node: &Node) -> serde_json::Value {
    node.addresses().to_json()
}

/// A set of roles that we ourselves name.
pub(crate) fn roles(text: &str) -> Roles {
    gobbq::options::roles(text).expect("these are roles")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_file_appears_whole() {
        let path = std::env::temp_dir().join(format!("bbq-ready-{}.json", std::process::id()));
        write_ready_file(&path, &serde_json::json!({ "gate": "127.0.0.1:1" })).expect("written");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(text, "{\n  \"gate\": \"127.0.0.1:1\"\n}\n");
        std::fs::remove_file(&path).expect("gone");
        let failure = write_ready_file(Path::new("/no/such/directory/x"), &serde_json::Value::Null);
        assert_eq!(failure.expect_err("no directory").code, Code::WRITE);
    }

    #[test]
    fn a_ready_file_that_is_a_pipe_stays_one() {
        let path = std::env::temp_dir().join(format!("bbq-ready-{}.pipe", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let reader = std::thread::spawn({
            let path = path.clone();
            move || std::fs::read_to_string(path).expect("text")
        });
        write_ready_file(&path, &serde_json::json!({ "pid": 1 })).expect("written");
        assert_eq!(reader.join().expect("read"), "{\n  \"pid\": 1\n}\n");
        assert!(!std::fs::metadata(&path).expect("there").is_file());
        std::fs::remove_file(&path).expect("gone");
    }
}
