//! Where proto files come from, and places within them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use miette::Diagnostic as _;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use protox::prost_reflect::FileDescriptor;

use crate::finding::{Finding, Location};

/// The options, importable without any set-up.
pub const OPTIONS_PROTO: &str = include_str!("../proto/gobbq/options.proto");
/// The options of the first gobbq.
const LEGACY_PROTO: &str = include_str!("../proto/bbq.proto");

/// Files that are compiled in, by the name in `import`.
struct Texts(BTreeMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Include paths and texts: opens files by name, and knows where a name was found.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    pub(crate) includes: Vec<PathBuf>,
    pub(crate) texts: BTreeMap<String, String>,
}

impl Sources {
    /// Ours first, so that a copy in a project cannot be older than the generator; then texts and include paths; then
    /// the options of the first gobbq, unless the project has a `bbq.proto` of its own; then Google's.
    pub(crate) fn resolver(&self) -> ChainFileResolver {
        let one = |name: &str, text: &str| Texts(BTreeMap::from([(name.to_owned(), text.to_owned())]));
        let mut chain = ChainFileResolver::new();
        chain.add(one("gobbq/options.proto", OPTIONS_PROTO));
        chain.add(Texts(self.texts.clone()));
        for include in &self.includes {
            chain.add(IncludeFileResolver::new(include.clone()));
        }
        chain.add(one("bbq.proto", LEGACY_PROTO));
        chain.add(GoogleFileResolver::new());
        chain
    }

    /// The path that a person can open, for the name that an `import` uses.
    pub(crate) fn path(&self, name: &str) -> String {
        let found = self.includes.iter().map(|include| include.join(name)).find(|path| path.is_file());
        let path = found.unwrap_or_else(|| PathBuf::from(name));
        path.strip_prefix(".").unwrap_or(&path).display().to_string()
    }

    /// The error of the proto compiler as a finding with a place.
    pub(crate) fn finding(&self, error: &protox::Error) -> Finding {
        let (at, message) = self.place(error);
        Finding::error("BBQ-0100", &at, message, "")
    }

    fn place(&self, error: &protox::Error) -> (Location, String) {
        let message = with_causes(error);
        if let Some((importer, imported)) = cycle(&message) {
            return (self.place_of_import(importer, imported), message);
        }
        let Some(name) = error.file() else { return (Location::default(), message) };
        let mut at = Location::of_file(self.path(name));
        // `{:?}` of the compiler's errors is `file:line:column: message`; there is no other way to the numbers.
        let debug = format!("{error:?}");
        if let Some((line, rest)) = debug.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')?.split_once(':'))
            && let Some((column, _)) = rest.split_once(':')
            && let (Ok(line), Ok(column)) = (line.parse(), column.parse())
        {
            (at.line, at.column) = (line, column);
        }
        (at, message)
    }

    fn place_of_import(&self, importer: &str, imported: &str) -> Location {
        let mut at = Location::of_file(self.path(importer));
        let Ok(file) = self.resolver().open_file(importer) else { return at };
        let descriptor = file.file_descriptor_proto();
        let index = descriptor.dependency.iter().position(|dependency| dependency == imported);
        let locations = descriptor.source_code_info.iter().flat_map(|info| &info.location);
        for location in locations {
            if let ([3, found], [line, column, ..]) = (location.path.as_slice(), location.span.as_slice())
                && usize::try_from(*found).ok() == index
            {
                (at.line, at.column) = (from_zero(*line), from_zero(*column));
            }
        }
        at
    }
}

/// The message with those of its causes, which hold what is wrong inside an option, and the advice of the compiler.
fn with_causes(error: &protox::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.diagnostic_source();
    while let Some(why) = cause {
        message = format!("{message}: {why}");
        cause = why.diagnostic_source();
    }
    match error.help() {
        Some(help) => format!("{message} ({help})"),
        None => message,
    }
}

/// The last arrow of `import cycle detected: a -> b -> a`.
fn cycle(message: &str) -> Option<(&str, &str)> {
    let (before, imported) = message.strip_prefix("import cycle detected: ")?.rsplit_once(" -> ")?;
    let importer = before.rsplit_once(" -> ").map_or(before, |(_, importer)| importer);
    Some((importer, imported))
}

fn from_zero(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0) + 1
}

/// Places and comments of one file, by descriptor path.
pub(crate) struct Places {
    file: Location,
    by_path: HashMap<Vec<i32>, Place>,
}

struct Place {
    line: u32,
    column: u32,
    leading: Option<String>,
    trailing: Option<String>,
}

impl Places {
    pub(crate) fn of(file: &FileDescriptor, path: String) -> Self {
        let mut by_path = HashMap::new();
        let info = &file.file_descriptor_proto().source_code_info;
        for location in info.iter().flat_map(|info| &info.location) {
            if let [line, column, ..] = location.span.as_slice() {
                let place = Place {
                    line: from_zero(*line),
                    column: from_zero(*column),
                    leading: location.leading_comments.clone(),
                    trailing: location.trailing_comments.clone(),
                };
                by_path.entry(location.path.clone()).or_insert(place);
            }
        }
        Self { file: Location::of_file(path), by_path }
    }

    /// The place of the thing with this descriptor path, or of the closest thing around it.
    pub(crate) fn at(&self, path: &[i32]) -> Location {
        let known = (0..=path.len()).rev().find_map(|length| self.by_path.get(&path[..length]));
        match known {
            Some(place) => Location { line: place.line, column: place.column, ..self.file.clone() },
            None => self.file.clone(),
        }
    }

    /// The place of the name of a thing: names have their own path, one below that of the thing.
    pub(crate) fn at_name(&self, path: &[i32]) -> Location {
        self.at(&[path, &[1]].concat())
    }

    /// The comments above and behind a thing, as written.
    pub(crate) fn comments(&self, path: &[i32]) -> (Option<&str>, Option<&str>) {
        let place = self.by_path.get(path);
        place.map_or((None, None), |place| (place.leading.as_deref(), place.trailing.as_deref()))
    }

    /// The comment of a thing, in one piece and clean.
    pub(crate) fn doc(&self, path: &[i32]) -> String {
        let (leading, trailing) = self.comments(path);
        clean(leading.or(trailing).unwrap_or_default())
    }
}

/// Takes off the space after `//` and blank lines at both ends.
fn clean(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The paths of the files on disk among `names`.
pub(crate) fn on_disk<'a>(files: impl Iterator<Item = Option<&'a Path>>) -> Vec<PathBuf> {
    files.flatten().map(Path::to_owned).collect()
}
