//! Nodes in this process.

use std::path::Path;
use std::sync::Arc;

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
pub(crate) async fn over(node: &Node) -> Failure {
    let why = node.failed().await;
    Failure::new(Code::NODE_OVER, why.what()).fix(why.fix())
}

/// Stops a node in good order.
pub(crate) async fn stop(node: Node) -> Result<()> {
    node.shutdown().await.map_err(|why| Failure::new(Code::UNSAVED, why.what()).fix(why.fix()))
}

/// Writes JSON for whoever waits until everything listens. It appears all at once.
pub(crate) fn write_ready_file(path: &Path, value: &serde_json::Value) -> Result<()> {
    let mut scratch = path.as_os_str().to_owned();
    scratch.push(".tmp");
    let text = format!("{value:#}\n");
    std::fs::write(&scratch, text)
        .and_then(|()| std::fs::rename(&scratch, path))
        .map_err(|why| Failure::write(path, &why))
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
}
