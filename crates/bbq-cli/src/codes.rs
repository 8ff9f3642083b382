//! The codes of everything that `bbq` can fail with, and what `bbq explain` says about them.
//!
//! A code never changes its meaning. 00xx are those of the commands, below; 01xx and 02xx are the generator's
//! ([`bbq_gen::CODES`]). `docs/cli.md` lists all of them, and a test compares.

/// A code and its explanation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Code {
    /// `BBQ-0011`.
    pub(crate) number: &'static str,
    /// One line.
    pub(crate) title: &'static str,
    /// When it happens and what to do.
    pub(crate) text: &'static str,
}

macro_rules! codes {
    ($($constant:ident $number:literal $title:literal $text:literal;)*) => {
        impl Code {
            $(pub(crate) const $constant: &'static Self = &Self { number: $number, title: $title, text: $text };)*
        }

        /// Every code of the commands, in order.
        pub(crate) const CODES: &[&Code] = &[$(Code::$constant,)*];
    };
}

codes! {
    USAGE "BBQ-0001" "The command line makes no sense"
        "A command, an option or a value that `bbq` does not know. `bbq help COMMAND` lists what there is.";
    SETTING "BBQ-0002" "A setting has a bad value"
        "Settings of a process come from `BBQ_*` variables and from the command line, which wins. The message names the \
         one that is wrong; `bbq help run` lists all of them with what they take.";
    UNKNOWN_CODE "BBQ-0003" "No such code"
        "`bbq explain` knows codes of `bbq` (BBQ-0001), of the generator (BBQ-0101) and of errors that cross the network, \
         by number or name (21, DEADLOCK). Numbers from 1000 on belong to the application.";
    OUTPUT "BBQ-0004" "The output could not be written"
        "The terminal, file or pipe that the output goes to refused it. A full disk does that. A reader that closed its \
         pipe is no error.";
    NAME "BBQ-0010" "The name does not work as a project name"
        "The name becomes that of a crate, of a program and of a proto package: a lower case letter, then lower case \
         letters, digits, `-` or `_`, 64 at most. Words of Rust and names of crates that every project uses are taken.";
    EXISTS "BBQ-0011" "Something is there already"
        "`bbq new` never overwrites. Choose another name or `--path`, or remove what is there.";
    WRITE "BBQ-0012" "A file could not be written"
        "The message says which one and what the system answered. Permissions and full disks do that.";
    READ "BBQ-0013" "A file could not be read"
        "The message says which one and what the system answered.";
    NO_PROJECT "BBQ-0014" "This is not a project"
        "The command works on a project: a directory with a `Cargo.toml` that has a `[package]`. It is searched from the \
         working directory upwards. `bbq new NAME` makes one.";
    NO_PROTO "BBQ-0015" "There are no proto files"
        "The command reads every `.proto` file below `proto/` of the project, or below `--proto DIR`.";
    PROTO "BBQ-0020" "The proto files have errors"
        "Nothing was generated. The findings above say where and why; `bbq explain` tells more about their codes.";
    LOCK "BBQ-0021" "gobbq.lock cannot be read"
        "The file says what was released, and `bbq check --update` writes it. A merge that went wrong, or a newer gobbq, \
         makes it unreadable. Take the last good version out of version control.";
    GENERATE "BBQ-0022" "No code could be generated"
        "The proto compiler accepted the files, but there is no code for something in them; the message says for what.";
    PROGRAM "BBQ-0030" "A program could not be started"
        "The program is not installed, is not in `PATH`, or may not be run. `bbq doctor` checks those that are needed.";
    BUILD "BBQ-0031" "The project does not build"
        "The errors of the compiler are above. In `bbq dev` the last version that did build goes on running.";
    NO_BINARY "BBQ-0032" "The project has no program to run"
        "`bbq run game` and `bbq dev` run the program of the project: the `src/main.rs` of the package. A project with \
         several programs names the one to use with `default-run` in its `Cargo.toml`.";
    GAME_ENDED "BBQ-0033" "The game ended before it was ready"
        "Its own output, above, says why. A setting of the game, or a panic in `main`, does that.";
    WATCH "BBQ-0034" "Files cannot be watched"
        "The system gave no watch. On Linux the limit is `fs.inotify.max_user_watches`. `bbq dev` without `--watch` works.";
    START "BBQ-0040" "A node could not start"
        "Mostly an address that is taken by another process, or a certificate or directory that cannot be opened. \
         The message says which.";
    CENTER "BBQ-0041" "The center cannot be reached"
        "Nothing answers at the address, or what answers is no center. `--center HOST:PORT` or `BBQ_CENTER` say where it \
         is; `bbq dev` and `bbq demo` print the address of theirs.";
    NOT_RUNNING "BBQ-0042" "Nobody serves that"
        "No live node of the cluster has the game role, or none of them serves the type. `bbq status` lists nodes and \
         what they serve.";
    NODE_OVER "BBQ-0043" "A node cannot go on"
        "The cluster declared it dead, because it hung or was cut off for longer than its lease, or because a newer \
         process has its name. Or its center can no longer write its files. What it still did was fenced; start it again.";
    UNSAVED "BBQ-0044" "Not everything could be saved"
        "The node was stopped while the Store could not be reached, or a turn did not end: entities are lost with what they \
         had not stored. Their names are above, the log has all of them. What was acknowledged with `save: TURN` is stored.";
    NO_TYPE "BBQ-0050" "No such service or entity type"
        "The name is that of a `service` in a proto file, `Room` or `chat.Room`. The nodes of the cluster say what they \
         serve; the message lists the names.";
    NO_METHOD "BBQ-0051" "No such method"
        "The name is that of an `rpc` of the service, as it stands in the proto file; the message lists them.";
    JSON "BBQ-0052" "The JSON does not fit the message"
        "The third argument of `bbq call` is the request as JSON, with the names of the proto file (`{\"text\": \"hi\"}`); \
         64-bit numbers may be strings, bytes are base64. Without fields it is `{}`, which may be left out.";
    TARGET "BBQ-0053" "The target has the wrong shape"
        "An entity is addressed by type and key, `Room/lobby`, a service by its name alone, `Lobby`. A key of digits is \
         a number; in quotes it is text: `'Room/\"42\"'`.";
    CALL_FAILED "BBQ-0054" "The call failed"
        "The call was sent and answered with an error. The message has its code, which `bbq explain` knows as well: \
         `bbq explain DEADLOCK`.";
    SCHEMA "BBQ-0055" "What a node says of its types cannot be understood"
        "A game tells the cluster its proto files. These are damaged, or from a newer gobbq.";
    DOCTOR "BBQ-0060" "The doctor found something"
        "At least one line says `fail`, with what helps. `warn` is for what is only needed sometimes.";
}

/// The code with this number, whoever it belongs to.
pub(crate) fn find(number: &str) -> Option<Code> {
    let own = CODES.iter().find(|code| code.number == number).map(|code| **code);
    own.or_else(|| bbq_gen::explain(number).map(|code| Code { number: code.code, title: code.title, text: code.text }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn all() -> Vec<Code> {
        let theirs = bbq_gen::CODES.iter().map(|code| Code { number: code.code, title: code.title, text: code.text });
        CODES.iter().map(|code| **code).chain(theirs).collect()
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        let numbers: Vec<&str> = all().iter().map(|code| code.number).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        assert!(CODES.iter().all(|code| code.number < "BBQ-0100"), "01xx and 02xx are the generator's");
    }

    #[test]
    fn every_code_is_documented() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
        let page = std::fs::read_to_string(page).expect("docs/cli.md");
        for code in all() {
            let row = format!("| {} | {} |", code.number, code.title);
            assert!(page.contains(&row), "docs/cli.md has no row `{row}`");
        }
    }

    #[test]
    fn every_code_that_a_source_names_is_in_the_table() {
        let mut open = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            for (at, _) in text.match_indices("BBQ-") {
                let number = text.get(at..at + 8).unwrap_or_default();
                if number.chars().skip(4).all(|digit| digit.is_ascii_digit()) {
                    assert!(find(number).is_some(), "{}: {number}", path.display());
                }
            }
        }
    }
}
