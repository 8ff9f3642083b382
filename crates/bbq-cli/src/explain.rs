//! `bbq explain`: what a code means, whoever it belongs to.

use bbq_wire::Code as WireCode;
use bbq_wire::code::Retry;
use serde::Serialize;

use crate::args::Explain;
use crate::codes::{CODES, Code, find};
use crate::failure::{Failure, Result};
use crate::print::{self, Colour, Style};

/// What is known of a code.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Explanation {
    /// `BBQ-0101`, or the number of an error that crosses the network.
    code: String,
    /// Name of an error that crosses the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    title: String,
    text: String,
}

pub(crate) fn run(args: &Explain) -> Result<()> {
    let explanations = match &args.code {
        Some(code) => vec![explain(code).ok_or_else(|| unknown(code))?],
        None => all(),
    };
    if args.format.is_json() {
        return match explanations.as_slice() {
            [one] => print::json(one),
            many => print::json(&many),
        };
    }
    match explanations.as_slice() {
        [one] => {
            let style = Style::of_stdout();
            let name = one.name.map(|name| format!(" {name}")).unwrap_or_default();
            let head = style.paint(Colour::Bold, format_args!("{}{name}: {}", one.code, one.title));
            print::line(format_args!("{head}\n\n{}", wrapped(&one.text, 100)))
        }
        many => {
            let row =
                |one: &Explanation| vec![one.code.clone(), one.name.unwrap_or_default().to_owned(), one.title.clone()];
            print::line(print::table(&many.iter().map(row).collect::<Vec<_>>()))
        }
    }
}

fn unknown(code: &str) -> Failure {
    let fix = "bbq explain lists all codes; a code is BBQ-0101, 21 or DEADLOCK";
    Failure::new(Code::UNKNOWN_CODE, format!("there is no code `{code}`")).fix(fix)
}

fn explain(text: &str) -> Option<Explanation> {
    let text = text.trim().trim_start_matches("error[").trim_end_matches(']').to_ascii_uppercase();
    if let Ok(number) = text.parse::<u32>() {
        return wire(number);
    }
    let number =
        if text.starts_with("BBQ-") { text.clone() } else { format!("BBQ-{}", text.trim_start_matches("BBQ")) };
    if let Some(code) = find(&number) {
        return Some(of(&code));
    }
    let row = WireCode::TABLE.iter().find(|row| row.1 == text)?;
    wire(row.0)
}

fn of(code: &Code) -> Explanation {
    Explanation { code: code.number.to_owned(), name: None, title: code.title.to_owned(), text: code.text.to_owned() }
}

fn wire(number: u32) -> Option<Explanation> {
    let (name, title, text) = match WireCode::TABLE.iter().find(|row| row.0 == number) {
        Some((_, name, retry, meaning)) => {
            let retry = match retry {
                Retry::Yes => "The call was not processed: the same call may be sent again.",
                Retry::No => "The same call would fail in the same way.",
                Retry::Maybe => "It may have been processed: send again only what may happen twice.",
                Retry::Resume => "The client resumes its session and goes on; its library does that by itself.",
            };
            let retry = if number == 0 { String::new() } else { format!(" {retry}") };
            (*name, (*meaning).trim_end_matches('.').to_owned(), format!("An error that crosses the network.{retry}"))
        }
        None if number >= WireCode::APPLICATION => {
            let text = "Numbers from 1000 on belong to the application: its source says what this one means.";
            ("APPLICATION", "An error of the application".to_owned(), text.to_owned())
        }
        None => return None,
    };
    Some(Explanation { code: number.to_string(), name: Some(name), title, text })
}

fn all() -> Vec<Explanation> {
    let own = CODES.iter().map(|code| of(code));
    let generator = bbq_gen::CODES.iter().filter_map(|code| find(code.code)).map(|code| of(&code));
    let wire = WireCode::TABLE.iter().filter_map(|row| wire(row.0));
    own.chain(generator).chain(wire).collect()
}

/// Breaks a text into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_can_be_written_in_every_way_that_it_is_printed() {
        for text in ["BBQ-0011", "bbq-0011", "0011x", "error[BBQ-0011]"] {
            let found = explain(text).map(|found| found.code);
            assert_eq!(found.as_deref(), (text != "0011x").then_some("BBQ-0011"), "{text}");
        }
        for text in ["21", "DEADLOCK", "deadlock"] {
            assert_eq!(explain(text).expect("known").name, Some("DEADLOCK"), "{text}");
        }
        assert_eq!(explain("BBQ-0101").expect("the generator's").code, "BBQ-0101");
        assert_eq!(explain("1234").expect("an application's").name, Some("APPLICATION"));
        assert!(explain("999").is_none() && explain("NOPE").is_none());
    }

    #[test]
    fn the_list_has_everything() {
        assert_eq!(all().len(), CODES.len() + bbq_gen::CODES.len() + WireCode::TABLE.len());
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("aa bb cc", 5), "aa bb\ncc");
    }
}
