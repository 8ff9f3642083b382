//! What is logged, and where to.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What `RUST_LOG` asks for: a level, or levels by crate and module (`info,bbq_gate=debug`). Without it, or where it
/// cannot be understood, `otherwise`; the second value says what is wrong with it.
#[must_use]
pub fn filter(otherwise: LevelFilter) -> (Targets, Option<String>) {
    parse(std::env::var("RUST_LOG").ok().as_deref(), otherwise)
}

fn parse(wish: Option<&str>, otherwise: LevelFilter) -> (Targets, Option<String>) {
    let Some(wish) = wish.filter(|wish| !wish.trim().is_empty()) else {
        return (Targets::new().with_default(otherwise), None);
    };
    match Targets::from_str(wish) {
        Ok(targets) => (targets, None),
        Err(why) => {
            let what = format!("RUST_LOG=`{wish}` is neither a level nor a list such as info,bbq_gate=debug: {why}");
            (Targets::new().with_default(otherwise), Some(what))
        }
    }
}

/// Logs to standard error, as `RUST_LOG` says (default: `info`). A second call does nothing.
pub fn init() {
    let (filter, problem) = filter(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).compact();
    let first = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if let (Ok(()), Some(problem)) = (first, problem) {
        tracing::warn!("{problem}");
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::parse;

    #[test]
    fn levels_by_crate_are_understood_and_nonsense_is_named() {
        let (targets, problem) = parse(Some("info,bbq_gate=debug"), LevelFilter::ERROR);
        assert_eq!(problem, None);
        assert!(targets.would_enable("bbq_gate::machine", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("bbq_rt", &tracing::Level::DEBUG));
        assert!(targets.would_enable("bbq_rt", &tracing::Level::INFO));
        let (targets, problem) = parse(Some("bbq_gate=loud"), LevelFilter::ERROR);
        assert!(problem.expect("nonsense").contains("bbq_gate=loud"));
        assert!(!targets.would_enable("bbq_gate", &tracing::Level::WARN));
        let (targets, problem) = parse(Some(""), LevelFilter::WARN);
        assert_eq!((targets.would_enable("x", &tracing::Level::WARN), problem), (true, None));
    }
}
