//! Many clients at once.

use bbq_client::bots::{self, Crowd};
use bbq_client::{Code, Error, Options};

use crate::gate::{ECHO, FAIL, Gate, Kind};
use crate::{options, soon};

#[tokio::test]
async fn every_bot_plays_and_everything_is_counted() {
    let gate = Gate::start(Kind::Tcp).await;
    let crowd = Crowd::new(options(&gate).guest("bot")).connects_per_second(10_000);
    let run = bots::run(50, crowd, |bot, n| async move {
        assert_eq!(bot.client().account(), format!("bot-{n}"));
        bot.call(ECHO, None, "x").await?;
        bot.notify(9, None, "")?;
        if n == 0 { bot.call(FAIL, None, "").await.map(drop) } else { Ok(()) }
    });
    let report = soon(run).await;
    assert_eq!((report.bots, report.connected, report.failed_scripts), (50, 50, 1));
    assert_eq!((report.sent, report.ok, report.errors.get(&Code(1001))), (101, 100, Some(&1)));
    assert_eq!(report.latencies.count(), 51);
    assert!(report.to_string().contains("50 of 50 connected"), "{report}");
}

#[tokio::test]
async fn bots_that_cannot_connect_or_panic_are_counted() {
    let gate = Gate::start(Kind::Tcp).await;
    let report = soon(bots::run(2, options(&gate).guest("bot"), |_, n| async move {
        assert!(n != 0, "the first one panics");
        Err(Error::new(Code::ABORTED, "the second one gives up"))
    }))
    .await;
    assert_eq!((report.connected, report.failed_scripts), (2, 2));
    let refused =
        soon(bots::run(2, Options::new(gate.url()).auth("jwt", "bad", "phone"), |_, _| async { Ok(()) })).await;
    assert_eq!((refused.connected, refused.errors.get(&Code::UNAUTHENTICATED)), (0, Some(&2)));
}
