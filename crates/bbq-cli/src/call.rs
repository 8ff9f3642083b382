//! `bbq call`: one method of one entity or service, by what the games say of their proto files.

use std::time::Instant;

use bbq_core::world::Target as To;
use bbq_wire::EntityId;
use serde::Serialize;

use crate::args::Call;
use crate::center::{block_on, look};
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::print;
use crate::schema::Method;
use crate::target::{Target, find};
use crate::visitor::{self, Request};

/// What `-o json` prints.
#[derive(Serialize, Debug)]
struct Report {
    target: String,
    method: String,
    reply: serde_json::Value,
    milliseconds: f64,
}

/// What `-o json` prints of a call that failed.
#[derive(Serialize, Debug)]
struct Refused<'a> {
    target: &'a str,
    method: &'a str,
    error: WireError<'a>,
}

#[derive(Serialize, Debug)]
struct WireError<'a> {
    code: u32,
    name: &'a str,
    message: &'a str,
    retry_after_ms: u32,
}

pub(crate) fn run(args: &Call) -> Result<()> {
    let target = Target::parse(&args.target)?;
    let report = block_on(call(args, &target))?;
    if args.format.is_json() {
        return print::json(&report);
    }
    print::json(&report.reply)
}

async fn call(args: &Call, target: &Target<'_>) -> Result<Report> {
    let view = look(&args.at).await?;
    let found = find(&view, target, &args.method)?;
    let method = Method::of(&found.node.info.schema, &found.service.name, &found.method.name)?;
    let body = method.request(&args.request)?;
    let to = match &target.key {
        Some(key) => To::Entity(EntityId::new(found.service.kind, key.clone())),
        None => To::Service(found.service.kind),
    };
    let request = Request { target: to, method: found.method.id, body: body.into(), timeout: args.timeout };
    let start = Instant::now();
    let answer = visitor::call(&args.at, request).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    match answer {
        Ok(bytes) => Ok(Report {
            target: args.target.clone(),
            method: args.method.clone(),
            reply: method.answer(&bytes)?,
            milliseconds,
        }),
        Err(error) => Err(refused(args, &error)?),
    }
}

fn refused(args: &Call, error: &bbq_wire::Error) -> Result<Failure> {
    if args.format.is_json() {
        let code = error.code;
        let (message, retry_after_ms) = (&*error.message, error.retry_after_ms);
        let error = WireError { code: code.0, name: code.name(), message, retry_after_ms };
        print::json(&Refused { target: &args.target, method: &args.method, error })?;
    }
    let what = format!("{} {} failed: {}", args.target, args.method, error.code);
    Ok(Failure::new(Code::CALL_FAILED, what).because(&error.message).fix(format!("bbq explain {}", error.code.0)))
}
