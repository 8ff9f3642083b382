//! Logs of several roles in one terminal: each line begins with the role that it comes from.

use std::fmt;
use std::time::Instant;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::print::{self, Colour, Style};

/// Where a line comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Bbq,
    Build,
    Center,
    Gate,
    Game,
    Bots,
    /// What roles have in common.
    Node,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Bbq => "bbq",
            Self::Build => "build",
            Self::Center => "center",
            Self::Gate => "gate",
            Self::Game => "game",
            Self::Bots => "bots",
            Self::Node => "node",
        }
    }

    const fn colour(self) -> Colour {
        match self {
            Self::Bbq => Colour::Bold,
            Self::Build => Colour::Yellow,
            Self::Center => Colour::Magenta,
            Self::Gate => Colour::Cyan,
            Self::Game => Colour::Green,
            Self::Bots | Self::Node => Colour::Dim,
        }
    }

    /// By the crate that logs.
    fn of_target(target: &str) -> Self {
        match target.split("::").next().unwrap_or(target) {
            "bbq" => Self::Bbq,
            "bbq_center" => Self::Center,
            "bbq_gate" => Self::Gate,
            "bbq_client" => Self::Bots,
            "bbq_game" => Self::Game,
            name if name.starts_with("example_") => Self::Game,
            _ => Self::Node,
        }
    }

    /// `gate   │ `.
    pub(crate) fn prefix(self, style: Style) -> String {
        style.paint(self.colour(), format_args!("{:<6} │", self.name())) + " "
    }
}

/// A line of ours or of a child, with its prefix, to stderr.
pub(crate) fn line(source: Source, text: impl fmt::Display) {
    print::note(format_args!("{}{text}", source.prefix(Style::of_stderr())));
}

/// From now on what this process logs goes to stderr, as `RUST_LOG` says. A second call does nothing.
pub(crate) fn start(default: LevelFilter) {
    let (filter, problem) = gobbq::logs::filter(default);
    let style = Style::of_stderr();
    let format = ByRole { style, start: Instant::now() };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(style.is_coloured());
    let first = tracing_subscriber::registry().with(filter).with(lines.event_format(format)).try_init();
    if let (Ok(()), Some(problem)) = (first, problem) {
        line(Source::Bbq, problem);
    }
}

struct ByRole {
    style: Style,
    start: Instant,
}

impl<S, N> FormatEvent<S, N> for ByRole
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => self.style.paint(Colour::Red, "error: "),
            Level::WARN => self.style.paint(Colour::Yellow, "warning: "),
            Level::INFO => String::new(),
            Level::DEBUG => self.style.paint(Colour::Dim, "debug: "),
            Level::TRACE => self.style.paint(Colour::Dim, "trace: "),
        };
        let time = format!("{:>8.3}", self.start.elapsed().as_secs_f64());
        let source = Source::of_target(metadata.target());
        write!(out, "{}{} {level}", source.prefix(self.style), self.style.paint(Colour::Dim, time))?;
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_role_it_comes_from() {
        for (target, source) in [
            ("bbq_gate::machine", Source::Gate),
            ("bbq_center", Source::Center),
            ("example_chat::room", Source::Game),
            ("bbq_rt::rpc::client", Source::Node),
        ] {
            assert_eq!(Source::of_target(target), source, "{target}");
        }
        assert_eq!(Source::Gate.prefix(Style::PLAIN), "gate   │ ");
        assert_eq!(Source::Gate.prefix(Style::COLOURED), "\x1b[36mgate   │\x1b[0m ");
    }
}
