//! Credentials.

use std::time::{SystemTime, UNIX_EPOCH};

use bbq_core::gate::{Config, Verified};
use bbq_gate::{JwtKey, Verifier};
use bbq_wire::frame::Frame;
use bbq_wire::{Code, Error};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use crate::client::{Server, auth, hello, local};

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn login(server: &Server, token: &str) -> Result<String, Code> {
    let mut client = server.tcp().await;
    client.send(&[hello(), auth(token.as_bytes())]).await;
    match client.receive().await {
        Some(bbq_wire::Frame::Welcome(welcome)) => Ok(welcome.account),
        Some(bbq_wire::Frame::Err(error)) => {
            assert_eq!(client.receive().await, None, "an error closes");
            Err(error.code)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tokens_are_judged_by_signature_time_and_account() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let server = Server::start_with(local(), Verifier::jwt(vec![JwtKey::hs256(secret)])).await;
    let sign =
        |key: &[u8], claims| encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key)).unwrap();
    let good = json!({"sub": "ann", "exp": unix() + 60});
    assert_eq!(login(&server, &sign(secret, good.clone())).await, Ok("ann".into()));
    let refused = Err(Code::UNAUTHENTICATED);
    assert_eq!(login(&server, &sign(b"another secret", good.clone())).await, refused);
    assert_eq!(login(&server, &sign(secret, json!({"sub": "ann", "exp": unix() - 60}))).await, refused);
    assert_eq!(login(&server, &sign(secret, json!({"sub": "ann"}))).await, refused);
    assert_eq!(login(&server, &sign(secret, json!({"exp": unix() + 60}))).await, refused);
    assert_eq!(login(&server, &sign(secret, json!({"sub": "", "exp": unix() + 60}))).await, refused);
    assert_eq!(login(&server, &sign(secret, json!({"sub": "a".repeat(65), "exp": unix() + 60}))).await, refused);
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.";
    assert_eq!(login(&server, none).await, refused);
    assert_eq!(login(&server, "not a token").await, refused);
}

#[tokio::test]
async fn public_keys_verify_and_a_key_is_good_for_its_algorithm_only() {
    let es = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert!(JwtKey::es256(ed.public_key_pem().as_bytes()).is_err(), "a key of another kind");
    assert!(JwtKey::eddsa(es.public_key_pem().as_bytes()).is_err(), "a key of another kind");
    assert!(JwtKey::eddsa(ed.serialize_pem().as_bytes()).is_err(), "a private key");
    let keys = vec![
        JwtKey::es256(es.public_key_pem().as_bytes()).unwrap().id("es"),
        JwtKey::eddsa(ed.public_key_pem().as_bytes()).unwrap().issuer("login"),
    ];
    let server = Server::start_with(local(), Verifier::jwt(keys)).await;
    let claims = json!({"sub": "ann", "exp": unix() + 60, "iss": "login"});
    let es_key = EncodingKey::from_ec_pem(es.serialize_pem().as_bytes()).unwrap();
    let header = Header { kid: Some("es".into()), ..Header::new(Algorithm::ES256) };
    assert_eq!(login(&server, &encode(&header, &claims, &es_key).unwrap()).await, Ok("ann".into()));
    let stranger = Header { kid: Some("other".into()), ..header };
    assert_eq!(login(&server, &encode(&stranger, &claims, &es_key).unwrap()).await, Err(Code::UNAUTHENTICATED));
    let ed_key = EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap();
    let header = Header::new(Algorithm::EdDSA);
    assert_eq!(login(&server, &encode(&header, &claims, &ed_key).unwrap()).await, Ok("ann".into()));
    let elsewhere = json!({"sub": "ann", "exp": unix() + 60, "iss": "elsewhere"});
    assert_eq!(login(&server, &encode(&header, &elsewhere, &ed_key).unwrap()).await, Err(Code::UNAUTHENTICATED));
    // The public key as the secret of an HMAC: the classic confusion.
    let forged = EncodingKey::from_secret(es.public_key_pem().as_bytes());
    let forged = encode(&Header::new(Algorithm::HS256), &claims, &forged).unwrap();
    assert_eq!(login(&server, &forged).await, Err(Code::UNAUTHENTICATED));
}

#[tokio::test]
async fn a_verifier_of_the_application_may_refuse_and_may_be_slow() {
    let verifier = Verifier::new(|request| async move {
        match &request.token[..] {
            b"later" => Err(Error::new(Code::UNAVAILABLE, "the login server is down").retry_after(700)),
            b"never" => std::future::pending().await,
            _ => Ok(Verified::account(format!("{}@{}", request.scheme, request.ip))),
        }
    });
    let machine = Config { opening: std::time::Duration::from_millis(100), ..Config::default() };
    let server = Server::start_with(bbq_gate::GateConfig { machine, ..local() }, verifier).await;
    assert_eq!(login(&server, "now").await, Ok("guest@127.0.0.1".into()));
    assert_eq!(login(&server, "later").await, Err(Code::UNAVAILABLE));
    assert_eq!(login(&server, "never").await, Err(Code::HANDSHAKE_TIMEOUT));
}

#[tokio::test]
async fn a_client_that_says_bye_leaves_no_session_behind() {
    let server = Server::start(local()).await;
    let mut client = server.tcp().await;
    client.login("ann").await;
    client.send(&[Frame::Bye]).await;
    assert_eq!(client.receive().await, None, "the gate closes the connection");
    let stats = server.gate.stats().await;
    assert_eq!((stats.attached, stats.detached, stats.ended), (0, 0, 1));
}
