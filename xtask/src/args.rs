//! The command line, parsed by hand into one enum. Nothing is executed here.

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
Project automation. Usage: cargo xtask COMMAND

  ci                           the one gate: fmt, tidy, clippy, test, fuzz, doc, deny
  test [--filter TEXT]         install what tests need, then all tests: Rust, TypeScript, simulator seeds, pages
  tidy [--fix]                 rules that no compiler checks; --fix writes the table in ARCHITECTURE.md
  bench [NAME] [--json]        measure against peers in one run, write docs/benchmarks.md
  sim --seeds N [--seed S]     N runs of the simulated cluster, from seed S on (default: a new one)
  fuzz --seconds N             N seconds of random input for every decoder
  pages [--check]              rebuild the web pages of the demo; --check: fail if the committed bundle is stale
  install                      install what tests need, and nothing else
  help                         this text

Long options take their value after a space or after `=`. CI=true turns every SKIPPED into a failure.";

/// One parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Ci,
    Test { filter: Option<String> },
    Tidy { fix: bool },
    Bench { name: Option<String>, json: bool },
    Sim { seeds: u64, seed: Option<u64> },
    Fuzz { seconds: u64 },
    Pages { check: bool },
    Install,
    Help,
}

/// Parses the words after `cargo xtask`; the error is a sentence for the person who typed them.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut words = words.into_iter();
    let Some(verb) = words.next() else { return Ok(Command::Help) };
    let mut rest = Words::split(words);
    if rest.flag("--help") || rest.flag("-h") {
        return Ok(Command::Help);
    }
    let command = match verb.as_str() {
        "ci" => Command::Ci,
        "test" => Command::Test { filter: rest.value("--filter")? },
        "tidy" => Command::Tidy { fix: rest.flag("--fix") },
        "bench" => Command::Bench { json: rest.flag("--json"), name: rest.positional() },
        "sim" => Command::Sim {
            seeds: rest.number("--seeds")?.ok_or("`sim` needs --seeds N")?,
            seed: rest.number("--seed")?,
        },
        "fuzz" => Command::Fuzz { seconds: rest.number("--seconds")?.ok_or("`fuzz` needs --seconds N")? },
        "pages" => Command::Pages { check: rest.flag("--check") },
        "install" => Command::Install,
        "help" | "--help" | "-h" => Command::Help,
        other => return Err(format!("there is no command `{other}`")),
    };
    rest.end(&verb)?;
    Ok(command)
}

/// The words that have not been understood yet; `--name=value` is split beforehand.
struct Words(Vec<String>);

impl Words {
    fn split(words: impl Iterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => all.extend([name.to_owned(), value.to_owned()]),
                _ => all.push(word),
            }
        }
        Self(all)
    }

    fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|word| word == name);
        if let Some(at) = found {
            self.0.remove(at);
        }
        found.is_some()
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{name} needs a number, not `{text}`"))
    }

    fn positional(&mut self) -> Option<String> {
        let at = self.0.iter().position(|word| !word.starts_with('-'))?;
        Some(self.0.remove(at))
    }

    fn end(self, verb: &str) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(format!("`{verb}` does not know `{word}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_command_of_the_usage_text_is_understood() {
        assert_eq!(parsed("ci"), Ok(Command::Ci));
        assert_eq!(parsed("test --filter timer"), Ok(Command::Test { filter: Some("timer".into()) }));
        assert_eq!(parsed("tidy --fix"), Ok(Command::Tidy { fix: true }));
        assert_eq!(parsed("bench ask --json"), Ok(Command::Bench { name: Some("ask".into()), json: true }));
        assert_eq!(parsed("bench --json"), Ok(Command::Bench { name: None, json: true }));
        assert_eq!(parsed("sim --seeds 10 --seed=7"), Ok(Command::Sim { seeds: 10, seed: Some(7) }));
        assert_eq!(parsed("fuzz --seconds 30"), Ok(Command::Fuzz { seconds: 30 }));
        assert_eq!(parsed("pages --check"), Ok(Command::Pages { check: true }));
        assert_eq!(parsed("install"), Ok(Command::Install));
        assert_eq!(parsed(""), Ok(Command::Help));
        assert_eq!(parsed("ci --help"), Ok(Command::Help));
    }

    #[test]
    fn a_word_that_is_not_understood_is_an_error_and_not_ignored() {
        for line in ["frobnicate", "ci --fast", "test timer", "sim", "sim --seeds many", "fuzz --seconds", "bench a b"]
        {
            assert!(parsed(line).is_err(), "`{line}` was accepted");
        }
    }
}
