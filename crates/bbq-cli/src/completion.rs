//! `bbq completion`: a script that teaches a shell our commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Result;
use crate::print;

pub(crate) fn run(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bbq", &mut script);
    print::raw(&String::from_utf8_lossy(&script))
}
