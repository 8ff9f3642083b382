//! A Store as worlds use it.

use bbq_core::store::{Claimed, Commit, Request, Response, StoreError, reply};
use bbq_core::world::{StoreReply, StoreRequest};

use super::Store;

/// Answers a world.
///
/// A Store that has no record of an entity which commits has lost its memory: a restarted center without `--data`, or a
/// file that was removed. Then the living copy is all there is, and it is written anew, under the token that it has:
/// who has a larger one fences it as ever.
pub async fn serve(store: &dyn Store, request: StoreRequest) -> StoreReply {
    let request = Request::from(request);
    let result = match store.request(request.clone()).await {
        Err(StoreError::NotFound) => again(store, request).await,
        result => result,
    };
    reply(result)
}

async fn again(store: &dyn Store, request: Request) -> Result<Response, StoreError> {
    let Request::Commit(Commit { entity, token, version, state }) = request else { return Err(StoreError::NotFound) };
    tracing::warn!(%entity, version, "the Store has forgotten this entity; its living copy is written anew");
    let Claimed { version, .. } = store.claim(entity.clone(), token).await?;
    store.request(Request::Commit(Commit { entity, token, version, state })).await
}
