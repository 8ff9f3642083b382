//! `bbq gen` and `bbq check`: what the generator and linter say about the proto files of a project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bbq_gen::{Error, Finding, Schema, Severity, Snapshot};
use serde::Serialize;

use crate::args::{Check, Gen};
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::findings::{self, Row};
use crate::print::{self, Colour, Style};
use crate::project::Protos;

/// Writes code for the proto files.
pub(crate) fn generate(args: &Gen) -> Result<()> {
    let protos = Protos::find(args.from.proto.as_deref())?;
    let schema = match compile(&protos)? {
        Ok(schema) => schema,
        Err(findings) => return Err(refused(&findings)),
    };
    let warnings: Vec<Finding> = bbq_gen::check(&schema, None);
    if !warnings.is_empty() {
        print::note(findings::render(&warnings, Style::of_stderr()) + "\n");
    }
    if let Some(directory) = &args.rust {
        write(directory, "gobbq.rs", &made(bbq_gen::rust(&schema, bbq_gen::RUNTIME))?)?;
    }
    if let Some(directory) = &args.ts {
        for file in made(bbq_gen::typescript(&schema))? {
            write(directory, &file.path, &file.text)?;
        }
    }
    Ok(())
}

/// What a generator returned, or why it did not.
fn made<T>(generated: Result<T, Error>) -> Result<T> {
    generated.map_err(|why| match why {
        Error::Proto(errors) => failure_of(&errors),
        why => Failure::new(Code::GENERATE, "no code could be generated").because(why),
    })
}

fn refused(findings: &[Finding]) -> Failure {
    print::note(findings::render(findings, Style::of_stderr()) + "\n");
    failure_of(findings)
}

fn failure_of(findings: &[Finding]) -> Failure {
    Failure::new(Code::PROTO, format!("the proto files have {}", findings::summary(findings)))
        .fix("bbq check shows all of them; bbq explain CODE says more about one")
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    let parent = path.parent().unwrap_or(directory);
    fs::create_dir_all(parent).map_err(|why| Failure::write(parent, &why))?;
    // What did not change keeps its time, so that nothing is built again because of it.
    let same = fs::read_to_string(&path).is_ok_and(|old| old == text);
    if !same {
        fs::write(&path, text).map_err(|why| Failure::write(&path, &why))?;
    }
    print::line(format_args!("{} {}", if same { "same " } else { "wrote" }, path.display()))
}

/// The schema, or what the proto compiler says.
fn compile(protos: &Protos) -> Result<Result<Schema, Vec<Finding>>> {
    match bbq_gen::compile(&protos.files, &[&protos.directory]) {
        Ok(schema) => Ok(Ok(schema)),
        Err(Error::Proto(findings)) => Ok(Err(findings)),
        Err(Error::Io { path, source }) => Err(Failure::read(&path, &source)),
        Err(why) => Err(Failure::new(Code::GENERATE, "the proto files cannot be compiled").because(why)),
    }
}

/// What `check -o json` prints.
#[derive(Serialize)]
struct Report<'a> {
    findings: Vec<Row<'a>>,
    errors: usize,
    warnings: usize,
    services: usize,
    messages: usize,
    /// `written`, `unchanged`, `compared` or `none`.
    lock: &'static str,
}

/// Prints every finding; the exit code says whether one is an error.
pub(crate) fn check(args: &Check) -> Result<ExitCode> {
    let protos = Protos::find(args.from.proto.as_deref())?;
    let released = released(&protos.lock)?;
    let (findings, counts, lock) = match compile(&protos)? {
        Err(findings) => (findings, (0, 0), if released.is_some() { "compared" } else { "none" }),
        Ok(schema) => {
            let counts = (schema.services.len(), schema.messages.len());
            // Who writes down a release says that its differences are meant.
            let findings = bbq_gen::check(&schema, released.as_ref().filter(|_| !args.update));
            let fine = findings.iter().all(|finding| finding.severity != Severity::Error);
            let lock = match (args.update && fine, &released) {
                (true, _) => update(&protos.lock, &schema, released.as_ref())?,
                (false, Some(_)) => "compared",
                (false, None) => "none",
            };
            (findings, counts, lock)
        }
    };
    let (errors, warnings) = findings::count(&findings);
    if args.format.is_json() {
        let rows = findings.iter().map(Row::from).collect();
        print::json(&Report { findings: rows, errors, warnings, services: counts.0, messages: counts.1, lock })?;
    } else {
        report(&protos, &findings, counts, lock)?;
    }
    Ok(ExitCode::from(u8::from(errors > 0)))
}

fn report(protos: &Protos, findings: &[Finding], counts: (usize, usize), lock: &str) -> Result<()> {
    let style = Style::of_stdout();
    if !findings.is_empty() {
        print::line(findings::render(findings, style) + "\n")?;
    }
    let lock_name = protos.lock.file_name().unwrap_or_default().to_string_lossy();
    let lock = match lock {
        "written" => format!("; wrote {lock_name}: commit it"),
        "unchanged" => format!("; {lock_name} says the same"),
        "compared" => format!("; compared with {lock_name}"),
        _ => format!("; no {lock_name} yet: `bbq check --update` writes it when you release"),
    };
    let (errors, _) = findings::count(findings);
    if findings.is_empty() {
        let fine = style.paint(Colour::Green, "fine");
        let (services, messages) = counts;
        return print::line(format_args!("{fine}: {services} services, {messages} messages{lock}"));
    }
    let colour = if errors > 0 { Colour::Red } else { Colour::Yellow };
    let summary = style.paint(colour, findings::summary(findings));
    print::line(format_args!("{summary}{lock}"))
}

fn released(lock: &PathBuf) -> Result<Option<Snapshot>> {
    let text = match fs::read_to_string(lock) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(Failure::read(lock, &why)),
    };
    text.parse().map(Some).map_err(|why: Error| {
        let what = format!("{} is damaged", lock.display());
        Failure::new(Code::LOCK, what).because(why).fix("take the last good version out of version control")
    })
}

fn update(lock: &Path, schema: &Schema, released: Option<&Snapshot>) -> Result<&'static str> {
    let text = bbq_gen::snapshot(schema, released).to_string();
    if fs::read_to_string(lock).is_ok_and(|old| old == text) {
        return Ok("unchanged");
    }
    fs::write(lock, text).map_err(|why| Failure::write(lock, &why))?;
    Ok("written")
}
