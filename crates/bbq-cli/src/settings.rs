//! The settings table of `gobbq` as arguments of `bbq`: same names, same variables, same parser.

use clap::{Arg, ArgMatches, Command};
use gobbq::Options;
use gobbq::options::{BadOption, SETTINGS};

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// Settings as they were written: `--listen=127.0.0.1:4000`. Roles are an argument of their own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settings(pub(crate) Vec<String>);

const ROLE: &str = "--role";

fn name(option: &'static str) -> &'static str {
    option.trim_start_matches('-')
}

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().filter(|setting| setting.0 != ROLE).fold(command, |command, (option, variable, value, help)| {
            let help = format!("{help} [env: {variable}]");
            command
                .arg(Arg::new(name(option)).long(name(option)).value_name(*value).help(help).help_heading("Settings"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = SETTINGS.iter().filter(|setting| setting.0 != ROLE).filter_map(|(option, ..)| {
            matches.get_one::<String>(name(option)).map(|value| format!("{option}={value}"))
        });
        self.0.extend(given);
        Ok(())
    }
}

impl Settings {
    /// Checked, with the variables of this process, for these roles.
    pub(crate) fn options(&self, roles: &str) -> Result<Options> {
        let arguments = self.0.iter().cloned().chain([format!("{ROLE}={roles}")]);
        Options::parse(|name| std::env::var(name).ok(), arguments).map_err(bad_setting)
    }
}

/// The parser's complaint as a failure.
pub(crate) fn bad_setting(bad: BadOption) -> Failure {
    let fix = match bad.name.as_str() {
        "--role" => "name roles: bbq run center, bbq run game,gate".to_owned(),
        "--center" => "pass --center HOST:PORT (or BBQ_CENTER), or add the role: bbq run center,...".to_owned(),
        _ => "bbq help run".to_owned(),
    };
    Failure::new(Code::SETTING, format!("{}: {}", bad.name, bad.why)).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_setting_names_itself_and_the_way_out() {
        let failure = Settings(vec!["--listen=4000".to_owned()]).options("all").expect_err("a bad address");
        assert_eq!(failure.code, Code::SETTING);
        assert!(failure.what.starts_with("--listen: `4000`"), "{failure}");
        let failure = Settings::default().options("gate").expect_err("no center");
        assert!(failure.fix.contains("--center HOST:PORT"), "{failure}");
    }

    #[test]
    fn roles_and_settings_become_options() {
        let settings = Settings(vec!["--center-listen=127.0.0.1:1".to_owned()]);
        let options = settings.options("center,gate").expect("options");
        assert_eq!(options.center_listen.port(), 1);
        assert!(!options.roles.contains(gobbq::options::roles("game").expect("a role")));
    }
}
