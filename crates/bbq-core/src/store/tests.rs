use proptest::prelude::*;

use super::*;

fn room(number: u64) -> EntityId {
    EntityId::new(7, number)
}

fn commit(token: u64, version: u64, state: &'static str) -> Request {
    Request::Commit(Commit { entity: room(1), token, version, state: state.into() })
}

#[test]
fn the_answer_to_a_world_keeps_the_code_of_the_error() {
    let mut store = MemoryStore::new();
    let claim = StoreRequest::Claim { entity: room(1), token: 5 };
    assert_eq!(reply(store.request(claim.into())), StoreReply::Claimed { version: 0, state: None });
    assert_eq!(reply(store.request(commit(5, 0, "a"))), StoreReply::Committed { version: 1 });
    let StoreReply::Failed(error) = reply(store.request(commit(4, 1, "b"))) else { panic!("a smaller token wrote") };
    assert_eq!(error.code, Code::FENCED);
    let StoreReply::Failed(error) = reply(store.request(commit(5, 7, "b"))) else { panic!("a wrong version wrote") };
    assert_eq!(error.code, Code::ABORTED);
}

#[test]
fn requests_travel_as_named_message_pack_and_unknown_fields_are_skipped() {
    #[derive(Serialize)]
    struct Newer {
        version: u64,
        state: Option<Bytes>,
        invented_later: &'static str,
    }
    let newer = Newer { version: 3, state: Some("x".into()), invented_later: "?" };
    let claimed: Claimed = identity::decode_named(&identity::encode_named(&newer)).unwrap();
    assert_eq!(claimed, Claimed { version: 3, state: Some("x".into()) });
    for request in [
        commit(1, 2, "three"),
        Request::Claim { entity: EntityId::new(1, "lobby"), token: u64::MAX },
        Request::Scan { kind: 9, after: Some("k".into()), limit: 3 },
        Request::Scan { kind: 9, after: None, limit: 3 },
    ] {
        assert_eq!(identity::decode_named::<Request>(&identity::encode_named(&request)).unwrap(), request);
    }
}

#[test]
fn the_largest_slot_epoch_of_all_claims_is_kept_and_nobody_else_writes_it() {
    let mut store = MemoryStore::new();
    let epoch = |store: &mut MemoryStore| match store.request(Request::GetMeta { key: SLOT_EPOCH.into() }) {
        Ok(Response::Meta(value)) => slot_epoch(value.as_deref()),
        other => panic!("{other:?}"),
    };
    assert_eq!(epoch(&mut store), 0);
    for (number, token) in [(1, 7 << 32 | 3), (2, 5 << 32), (3, 9)] {
        store.request(Request::Claim { entity: room(number), token }).unwrap();
    }
    assert_eq!(epoch(&mut store), 7);
    store.request(Request::Claim { entity: room(1), token: 6 << 32 }).unwrap_err();
    store.request(Request::PutMeta { key: SLOT_EPOCH.into(), value: None }).unwrap_err();
    assert_eq!(epoch(&mut store), 7);
}

/// The specification, as short as it can be said: the list of acknowledged writes.
#[derive(Default)]
struct Model {
    token: Option<u64>,
    chain: Vec<Option<Bytes>>,
}

#[derive(Clone, Debug)]
enum Step {
    Claim(u64),
    Write { token: u64, back: u64, state: Option<u8> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..6).prop_map(Step::Claim),
        (0_u64..6, 0_u64..3, prop::option::weighted(0.8, 0_u8..3)).prop_map(|(token, back, state)| Step::Write {
            token,
            back,
            state
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_acknowledged_writes_form_one_chain(steps in prop::collection::vec(step(), 1..60)) {
        let (mut store, mut model) = (MemoryStore::new(), Model::default());
        for step in steps {
            match step {
                Step::Claim(token) => {
                    let answer = store.request(Request::Claim { entity: room(1), token });
                    match model.token {
                        Some(held) if token < held => prop_assert_eq!(answer, Err(StoreError::Fenced { token: held })),
                        _ => {
                            model.token = Some(token);
                            let state = model.chain.last().cloned().flatten();
                            let claimed = Claimed { version: model.chain.len() as u64, state };
                            prop_assert_eq!(answer, Ok(Response::Claimed(claimed)));
                        }
                    }
                }
                Step::Write { token, back, state } => {
                    let state = state.map(|byte| Bytes::copy_from_slice(&[byte]));
                    let now = model.chain.len() as u64;
                    let Some(version) = now.checked_sub(back) else { continue };
                    let entity = room(1);
                    let answer = store.request(match &state {
                        Some(state) => Request::Commit(Commit { entity, token, version, state: state.clone() }),
                        None => Request::Delete { entity, token, version },
                    });
                    let expected = match model.token {
                        None => Err(StoreError::NotFound),
                        Some(held) if held != token => Err(StoreError::Fenced { token: held }),
                        Some(_) if back == 0 => {
                            model.chain.push(state);
                            Ok(Response::Versions(vec![now + 1]))
                        }
                        Some(_) if back == 1 && model.chain.last() == Some(&state) => Ok(Response::Versions(vec![now])),
                        Some(_) => Err(StoreError::VersionConflict { version: now }),
                    };
                    prop_assert_eq!(answer, expected);
                }
            }
            let record = model.token.map(|token| Record {
                token,
                version: model.chain.len() as u64,
                state: model.chain.last().cloned().flatten(),
            });
            prop_assert_eq!(store.request(Request::Load { entity: room(1) }), Ok(Response::Loaded(record)));
        }
    }
}
