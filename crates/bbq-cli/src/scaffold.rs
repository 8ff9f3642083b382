//! `bbq new`: a project that builds, runs and has a test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::args::New;
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::print::{self, Colour, Style};

/// Longest name, in bytes.
const MAX_NAME: usize = 64;

/// Files of a project, and what they are made from. `{{..}}` is replaced, in names as well.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/project/Cargo.toml.txt")),
    ("build.rs", include_str!("../templates/project/build.rs.txt")),
    ("proto/{{name}}.proto", include_str!("../templates/project/proto.txt")),
    ("src/main.rs", include_str!("../templates/project/main.rs.txt")),
    ("src/room.rs", include_str!("../templates/project/room.rs.txt")),
    ("src/tests.rs", include_str!("../templates/project/tests.rs.txt")),
    ("README.md", include_str!("../templates/project/README.md.txt")),
    (".gitignore", include_str!("../templates/project/gitignore.txt")),
];

/// Words that are no name of a module or a crate, and names that a project uses for something else.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "bbq",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "gobbq",
    "google",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "room",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tests",
    "tokio",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

pub(crate) fn run(args: &New) -> Result<()> {
    let name = checked_name(&args.name)?;
    let directory = args.path.clone().unwrap_or_else(|| PathBuf::from(name));
    let files = files(name, &Source::find());
    refuse_to_overwrite(&directory)?;
    for (path, text) in &files {
        let path = directory.join(path);
        let parent = path.parent().unwrap_or(&directory);
        fs::create_dir_all(parent).map_err(|why| Failure::write(parent, &why))?;
        fs::write(&path, text).map_err(|why| Failure::write(&path, &why))?;
    }
    let style = Style::of_stdout();
    print::line(format_args!("{} {}", style.paint(Colour::Green, "made"), directory.display()))?;
    for (path, _) in &files {
        print::line(format_args!("     {path}"))?;
    }
    print::line(format_args!("\nnext:\n     cd {}\n     bbq dev --watch", directory.display()))
}

/// The name of a crate, a program, a proto package and a module.
fn checked_name(name: &str) -> Result<&str> {
    let refuse = |why: String| {
        let fix = "take lower case letters, digits, - and _, beginning with a letter: my-game";
        Err(Failure::new(Code::NAME, format!("`{name}` does not work as a project name")).because(why).fix(fix))
    };
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    if name.len() > MAX_NAME {
        return refuse(format!("it has {} bytes, {MAX_NAME} are possible", name.len()));
    }
    if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        return refuse("it does not begin with a lower case letter".to_owned());
    }
    if let Some(letter) = name.chars().find(|letter| !is_letter(*letter)) {
        return refuse(format!("it has `{letter}` in it"));
    }
    if TAKEN.contains(&package(name).as_str()) {
        return refuse("Rust, cargo or gobbq use that name for something else".to_owned());
    }
    Ok(name)
}

fn package(name: &str) -> String {
    name.replace('-', "_")
}

/// Where a project takes gobbq from.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Source {
    /// The directory that holds the crates: a clone of the repository.
    Directory(PathBuf),
    /// As published, in the version of this program.
    Published,
}

impl Source {
    /// `BBQ_GOBBQ_PATH` (the crate `gobbq`), the repository that this program was built in if it is still there, or the
    /// published crate.
    fn find() -> Self {
        let told = env::var_os("BBQ_GOBBQ_PATH").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let told = told.map(|path| std::path::absolute(&path).unwrap_or(path));
        let told = told.and_then(|path| path.parent().map(Path::to_owned));
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
        let built = built.filter(|crates| crates.join("gobbq/Cargo.toml").is_file());
        told.or(built).map_or(Self::Published, Self::Directory)
    }

    fn dependency(&self, name: &str) -> String {
        match self {
            Self::Published => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
            Self::Directory(crates) => {
                let path = crates.join(name).display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
                format!("{{ path = \"{path}\" }}")
            }
        }
    }
}

fn files(name: &str, source: &Source) -> Vec<(String, String)> {
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{package}}", &package(name))
            .replace("{{gobbq}}", &source.dependency("gobbq"))
            .replace("{{bbq-gen}}", &source.dependency("bbq-gen"))
    };
    TEMPLATES.iter().map(|(path, text)| (fill(path), fill(text))).collect()
}

/// A directory that is not there yet, or is empty.
fn refuse_to_overwrite(directory: &Path) -> Result<()> {
    let there = |what: String| {
        Err(Failure::new(Code::EXISTS, what).fix("choose another name or --path, or remove what is there"))
    };
    match fs::read_dir(directory).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => there(format!("{} is there and not empty", directory.display())),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(why) if why.kind() == std::io::ErrorKind::NotADirectory => {
            there(format!("{} is there and no directory", directory.display()))
        }
        Err(why) => Err(Failure::read(directory, &why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_work_are_told_from_those_that_do_not() {
        for name in ["arena", "my-game", "my_game2", "g"] {
            assert!(checked_name(name).is_ok(), "{name}");
        }
        for name in ["", "My", "2fast", "a.b", "a/b", "../x", "-x", "tokio", "match", "self", "gobbq", "ä", "a b"] {
            let failure = checked_name(name).expect_err(name);
            assert_eq!(failure.code, Code::NAME);
        }
        assert!(checked_name(&"a".repeat(65)).is_err());
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for (path, text) in files("my-game", &Source::Published) {
            assert!(!path.contains("{{") && !text.contains("{{"), "{path}");
        }
    }

    #[test]
    fn the_generator_accepts_the_proto_without_a_remark() {
        let files = files("my-game", &Source::Published);
        let (path, text) = files.iter().find(|(path, _)| path.ends_with(".proto")).expect("a proto");
        assert_eq!(path, "proto/my-game.proto");
        let schema = bbq_gen::compile_texts(&[("my-game.proto", text)]).expect("valid");
        assert_eq!(bbq_gen::check(&schema, None), []);
        assert_eq!(schema.services.iter().filter(|service| service.package == "my_game").count(), 2);
    }

    #[test]
    fn a_published_program_asks_for_its_own_version_and_a_local_one_for_its_repository() {
        assert_eq!(Source::Published.dependency("gobbq"), "\"0.1.0\"");
        let here = Source::Directory(PathBuf::from("/x/crates"));
        assert_eq!(here.dependency("bbq-gen"), "{ path = \"/x/crates/bbq-gen\" }");
        assert!(matches!(Source::find(), Source::Directory(_)), "this test runs inside the repository");
    }
}
