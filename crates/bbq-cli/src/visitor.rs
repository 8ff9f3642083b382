//! A node that takes part in a cluster for one call: it has no role, listens nowhere, and leaves in good order.

use std::sync::Arc;
use std::time::Duration;

use bbq_core::Payload;
use bbq_core::control::{ControlError, NodeInfo};
use bbq_core::mesh::{Config, FromGate, Input, Roles, ToGate};
use bbq_core::world::{CallId, Outgoing, Target};
use bbq_rt::clock::Clock;
use bbq_rt::control::{Attendance, CenterControl, ControlPlane, Membership};
use bbq_rt::mesh::{Inboxes, MeshConfig, MeshNode, views};
use bbq_rt::queue::queue;
use bbq_rt::rpc::ClientConfig;
use bbq_wire::Error;
use bytes::Bytes;

use crate::args::Center;
use crate::center::{failed, pass};
use crate::codes::Code;
use crate::failure::{Failure, Result};

/// Who dies without leaving is forgotten after this.
const LEASE: Duration = Duration::from_secs(3);
/// The mesh ends a call at its deadline; we wait so much longer to hear of it.
const MARGIN: Duration = Duration::from_secs(1);
/// Messages that wait for us; there is one call, so one answer.
const INBOX: usize = 16;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: Target,
    /// Wire id.
    pub(crate) method: u32,
    pub(crate) body: Bytes,
    pub(crate) timeout: Duration,
}

/// Sends the request and returns what was answered, after the cluster has been left again.
pub(crate) async fn call(at: &Center, request: Request) -> Result<bbq_wire::Result<Bytes>> {
    let pass = pass(at)?;
    let secret = pass.as_ref().map(|pass| pass.secret.clone());
    let config = ClientConfig { pass, ..ClientConfig::default() };
    let control: Arc<dyn ControlPlane> = Arc::new(CenterControl::with(at.center.clone(), config));
    let refused = |why: ControlError| failed(&at.center, &why);
    let attendance = Attendance::open(Arc::clone(&control), info(), LEASE).await.map_err(refused)?;
    let me = attendance.session().uid;
    let membership = Membership::start(control);
    membership.wait_for(|view| view.nodes.contains_key(&me)).await;

    let clock = Clock::start();
    let (gate, mut answers) = queue(INBOX);
    let machine = Config { me, roles: Roles::default(), worlds: 0, ..Config::default() };
    let config = MeshConfig { machine, cluster: at.cluster.clone(), secret, ..MeshConfig::default() };
    let inboxes = Inboxes { worlds: Vec::new(), gate: Some(gate) };
    let mesh = MeshNode::start(config, Vec::new(), inboxes, clock, views(membership.views()))
        .map_err(|why| Failure::new(Code::START, "the mesh cannot be started").because(why))?;

    let timeout = request.timeout;
    let call = Outgoing {
        target: request.target,
        method: request.method,
        body: Payload::from_bytes(request.body),
        call: Some(CallId(1)),
        deadline: clock.now() + timeout,
        affinity: None,
        meta: None,
    };
    let sent = mesh.handle().send(Input::Gate(FromGate::Call(call))).await;
    let answer = async {
        loop {
            match answers.recv().await {
                Some(ToGate::Reply { result, .. }) => return result.map(Payload::into_bytes),
                // Groups and sessions are none of our business.
                Some(_) => {}
                None => return Err(Error::new(bbq_wire::Code::INTERNAL, "the mesh has ended")),
            }
        }
    };
    let late = || Error::new(bbq_wire::Code::DEADLINE_EXCEEDED, "nobody answered in time");
    let result = match sent {
        Ok(()) => tokio::time::timeout(timeout + MARGIN, answer).await.unwrap_or_else(|_| Err(late())),
        Err(why) => Err(Error::new(bbq_wire::Code::INTERNAL, why.to_string())),
    };
    mesh.shutdown().await;
    // Without it, the others notice when the lease ends.
    drop(attendance.leave("its call is over").await);
    Ok(result)
}

fn info() -> NodeInfo {
    let start = u64::from(std::process::id());
    NodeInfo { name: format!("bbq-call-{start}"), start, weight: 0, ..NodeInfo::default() }
}
