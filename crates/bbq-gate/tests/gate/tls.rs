//! TLS for both protocols, on the port that also speaks plain.

use std::path::PathBuf;
use std::sync::Arc;

use bbq_gate::{Gate, GateConfig, StartError, TlsConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_websockets::ClientBuilder;

use crate::client::{Client, ECHO, Messages, Server, local};

struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn certificate(name: &str) -> (Files, TlsConfig, TlsConnector) {
    let directory = std::env::temp_dir().join(format!("bbq-gate-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsConfig { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Files(directory), files, TlsConnector::from(Arc::new(client)))
}

async fn connect(server: &Server, tls: &TlsConnector) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.gate.local_addr()).await.unwrap();
    tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

#[tokio::test]
async fn native_and_websocket_clients_are_served_over_tls_and_plain_on_one_port() {
    let (_files, tls, connector) = certificate("both");
    let mut server = Server::start(GateConfig { tls: Some(tls), ..local() }).await;
    let body = vec![9; 50_000];

    let mut native = Client::native(connect(&server, &connector).await).await;
    let sid = native.login("native").await.sid;
    native.request(ECHO, &body).await;
    server.echo().await;
    assert_eq!(native.response().await.unwrap(), body);
    server.push(sid, &vec![1; 500_000]).await;
    assert_eq!(native.pushed().await.len(), 500_000);

    let stream = connect(&server, &connector).await;
    let (socket, _) = ClientBuilder::new().uri("wss://localhost/bbq").unwrap().connect_on(stream).await.unwrap();
    let mut web = Client::new(Messages(socket));
    web.login("web").await;
    web.request(ECHO, &body).await;
    server.echo().await;
    assert_eq!(web.response().await.unwrap(), body);

    let mut plain = server.tcp().await;
    plain.login("plain").await;
}

#[tokio::test]
async fn a_gate_may_insist_on_tls() {
    let (_files, tls, connector) = certificate("only");
    let server = Server::start(GateConfig { tls: Some(tls), only_tls: true, ..local() }).await;
    let mut plain = server.tcp().await;
    assert_eq!(plain.receive().await, None);
    Client::native(connect(&server, &connector).await).await.login("ann").await;
}

#[tokio::test]
async fn a_missing_certificate_is_named() {
    let (files, tls, _) = certificate("missing");
    drop(files);
    let server = Server::start(local()).await;
    let (to_mesh, _from_gate) = bbq_rt::queue::queue(1);
    let (_to_gate, from_mesh) = bbq_rt::queue::queue(1);
    let (_methods, methods) = tokio::sync::watch::channel(Arc::default());
    let ends = bbq_gate::Ends { clock: bbq_rt::clock::Clock::start(), to_mesh, from_mesh, methods };
    let path = tls.certificate.clone();
    let failed = Gate::start(GateConfig { tls: Some(tls), ..local() }, ends, bbq_gate::Verifier::guest()).await;
    assert!(matches!(failed, Err(StartError::Pem { path: named, .. }) if named == path));
    drop(server);
}
