//! A small reader of Rust source: tokens, comments, which tokens are test code, and the paths that are named.
//!
//! It knows just enough of the grammar for `tidy`: strings, comments, attributes and `use` trees are read correctly,
//! macros are read as plain tokens. It never fails; unbalanced source gives fewer findings, and rustc reports it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword.
    Word,
    /// One character of punctuation, or `::`.
    Mark,
    /// A string, character, number or lifetime.
    Literal,
}

/// One token of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    /// Inside an item that exists only in tests.
    pub(crate) test: bool,
}

impl Token<'_> {
    fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }

    /// Whether this is a word that a path can follow but not contain.
    fn is_keyword(&self) -> bool {
        ["use", "return", "in", "as", "dyn", "impl", "else", "match", "if"].iter().any(|word| self.is(word))
    }
}

/// A path as it is named in the source, `use` trees expanded: `use a::{b, c}` names `a::b` and `a::c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath<'a> {
    pub(crate) segments: Vec<&'a str>,
    pub(crate) line: usize,
    pub(crate) test: bool,
    /// Index of its first token in [`Source::tokens`].
    pub(crate) at: usize,
}

/// One `mod name` in a file, `parents` being the inline modules around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared<'a> {
    pub(crate) parents: Vec<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) test: bool,
}

/// A file, read once.
pub(crate) struct Source<'a> {
    pub(crate) tokens: Vec<Token<'a>>,
    comments: Vec<(usize, &'a str)>,
    /// For every token, the inline modules around it.
    scopes: Vec<usize>,
    scope_names: Vec<Vec<&'a str>>,
    code_lines: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Reads a file; `test`: the whole file is test code.
    pub(crate) fn read(text: &'a str, test: bool) -> Self {
        let mut reader = Reader { text, at: 0, line: 1, tokens: Vec::new(), comments: Vec::new() };
        reader.run();
        let Reader { mut tokens, comments, .. } = reader;
        mark_tests(&mut tokens, test);
        let (scopes, scope_names) = scopes(&tokens);
        let mut code_lines: Vec<usize> = tokens.iter().map(|token| token.line).collect();
        code_lines.dedup();
        Self { tokens, comments, scopes, scope_names, code_lines }
    }

    /// The inline modules around a token.
    pub(crate) fn scope(&self, at: usize) -> &[&'a str] {
        &self.scope_names[self.scopes[at]]
    }

    /// Whether a comment `// tidy: reason` stands on this line, or in the comment lines directly above it.
    pub(crate) fn justified(&self, line: usize) -> bool {
        let says_why = |wanted: usize| {
            self.comments.iter().any(|(at, text)| {
                *at == wanted && text.split_once("tidy:").is_some_and(|(_, reason)| !reason.trim().is_empty())
            })
        };
        let is_comment_only = |wanted: usize| {
            self.code_lines.binary_search(&wanted).is_err() && self.comments.iter().any(|(at, _)| *at == wanted)
        };
        says_why(line) || (1..line).rev().take_while(|above| is_comment_only(*above)).any(says_why)
    }

    /// Every path that is named, in order.
    pub(crate) fn paths(&self) -> Vec<NamedPath<'a>> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let after_path = self.continues_path(at);
            let grouped_root = self.tokens[at].is("{") && at > 0 && self.tokens[at - 1].is("use");
            if grouped_root || (self.tokens[at].kind == Kind::Word && !self.tokens[at].is_keyword() && !after_path) {
                at = self.path_tree(at, &[], &mut found);
            } else {
                at += 1;
            }
        }
        found
    }

    /// Whether the token is preceded by `::` that itself follows something (`::std` starts a path, `a::std` goes on).
    fn continues_path(&self, at: usize) -> bool {
        let after_colons = at > 0 && self.tokens[at - 1].is("::");
        after_colons
            && at.checked_sub(2).is_some_and(|before| {
                let before = &self.tokens[before];
                (before.kind == Kind::Word && !before.is_keyword()) || before.is(">")
            })
    }

    /// Every module that this file declares, in order.
    pub(crate) fn modules(&self) -> Vec<Declared<'a>> {
        let pairs = self.tokens.windows(3).enumerate();
        let declared = pairs.filter(|(_, three)| {
            three[0].is("mod") && three[1].kind == Kind::Word && (three[2].is(";") || three[2].is("{"))
        });
        declared
            .map(|(at, three)| Declared { parents: self.scope(at).to_vec(), name: three[1].text, test: three[0].test })
            .collect()
    }

    /// Reads a path or a `use` tree that starts at `at`; returns the index after it.
    fn path_tree(&self, at: usize, before: &[&'a str], found: &mut Vec<NamedPath<'a>>) -> usize {
        let mut segments = before.to_vec();
        let mut next = at;
        while let Some(token) = self.tokens.get(next) {
            if token.is("{") {
                return self.path_group(next, &segments, found);
            }
            if token.kind != Kind::Word && !token.is("*") {
                break;
            }
            segments.push(token.text);
            next += 1;
            // `a::<T>::b`: the arguments are separate paths, the rest of the path does not matter here.
            let goes_on = self.tokens.get(next).is_some_and(|token| token.is("::"));
            let tree = self.tokens.get(next + 1).is_some_and(|token| {
                token.kind == Kind::Word || token.is("{") || (token.is("*") && !segments.is_empty())
            });
            if !(goes_on && tree) {
                break;
            }
            next += 1;
        }
        let first = &self.tokens[at.min(self.tokens.len() - 1)];
        if segments.last() == Some(&"self") && segments.len() > 1 {
            segments.pop();
        }
        found.push(NamedPath { segments, line: first.line, test: first.test, at });
        next.max(at + 1)
    }

    fn path_group(&self, open: usize, before: &[&'a str], found: &mut Vec<NamedPath<'a>>) -> usize {
        let mut next = open + 1;
        while let Some(token) = self.tokens.get(next) {
            if token.is("}") {
                return next + 1;
            }
            if token.kind == Kind::Word || token.is("*") || token.is("{") {
                next = self.path_tree(next, before, found);
                // `b as c` renames; the new name is not a path.
                if self.tokens.get(next).is_some_and(|token| token.is("as")) {
                    next += 2;
                }
            } else {
                next += 1;
            }
        }
        next
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
    comments: Vec<(usize, &'a str)>,
}

impl<'a> Reader<'a> {
    fn run(&mut self) {
        while let Some(first) = self.rest().chars().next() {
            let rest = self.rest();
            if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else if rest.starts_with("//") {
                self.comment(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.comment(block_comment(rest));
            } else if let Some(length) = string(rest) {
                self.token(length, Kind::Literal);
            } else if first == '\'' {
                self.token(quote(rest), Kind::Literal);
            } else if first.is_ascii_digit() {
                self.token(word(rest), Kind::Literal);
            } else if let Some(raw) = rest.strip_prefix("r#") {
                self.skip(2);
                self.token(word(raw).max(1), Kind::Word);
            } else if first.is_alphabetic() || first == '_' {
                self.token(word(rest), Kind::Word);
            } else {
                self.token(if rest.starts_with("::") { 2 } else { first.len_utf8() }, Kind::Mark);
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or(self.rest());
        self.line += taken.matches('\n').count();
        self.at += taken.len();
        taken
    }

    fn token(&mut self, length: usize, kind: Kind) {
        let line = self.line;
        let text = self.skip(length);
        self.tokens.push(Token { text, kind, line, test: false });
    }

    fn comment(&mut self, length: usize) {
        let line = self.line;
        let text = self.skip(length);
        self.comments.extend(text.lines().enumerate().map(|(offset, text)| (line + offset, text)));
    }
}

fn word(text: &str) -> usize {
    text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len())
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a string literal of any kind that starts here.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            rest.starts_with('"') || (prefix.ends_with('r') && rest.trim_start_matches('#').starts_with('"'))
        })
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let close = format!("\"{}", &body[..hashes]);
        let inside = hashes + 1;
        let end = body[inside..].find(&close).map_or(body.len(), |end| inside + end + close.len());
        return Some(prefix.len() + end);
    }
    let mut escaped = false;
    for (at, byte) in body.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of a character literal or a lifetime.
fn quote(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    let Some((_, first)) = characters.next() else { return 1 };
    if first == '\\' {
        let body = text.char_indices().skip(3);
        return body.into_iter().find(|(_, character)| *character == '\'').map_or(text.len(), |(at, _)| at + 1);
    }
    match characters.next() {
        Some((at, '\'')) => at + 1,
        _ => 1 + word(&text[1..]),
    }
}

/// Marks the tokens of items under `#[cfg(test)]`, `#[cfg(all(test, ..))]` and `#[test]`.
fn mark_tests(tokens: &mut [Token<'_>], whole_file: bool) {
    let inner = ["#", "!", "[", "cfg", "(", "test", ")", "]"];
    let inner = tokens.windows(inner.len()).any(|some| some.iter().zip(inner).all(|(token, text)| token.is(text)));
    if whole_file || inner {
        tokens.iter_mut().for_each(|token| token.test = true);
        return;
    }
    let mut at = 0;
    while at < tokens.len() {
        let Some(end) = attribute(tokens, at) else {
            at += 1;
            continue;
        };
        if is_test_attribute(&tokens[at + 2..end - 1]) {
            let item = item_end(tokens, end);
            tokens[at..item].iter_mut().for_each(|token| token.test = true);
            at = item;
        } else {
            at = end;
        }
    }
}

/// The index after the attribute that starts here, if one does.
fn attribute(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !(tokens.get(at)?.is("#") && tokens.get(at + 1)?.is("[")) {
        return None;
    }
    closing(tokens, at + 1)
}

/// The index after the bracket that closes the one at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|mark| token.is(mark)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|mark| token.is(mark)) {
            depth -= 1;
            if depth == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

fn is_test_attribute(inside: &[Token<'_>]) -> bool {
    let texts: Vec<&str> = inside.iter().map(|token| token.text).collect();
    match texts.as_slice() {
        ["test"] | ["cfg", "(", "test", ")"] => true,
        [.., "::", "test"] => true,
        [_, "::", "test", "(", ..] => true,
        ["cfg", "(", "all", "(", rest @ ..] => {
            let mut depth = 0_i32;
            rest.iter().any(|text| {
                match *text {
                    "(" => depth += 1,
                    ")" => depth -= 1,
                    _ => {}
                }
                depth == 0 && *text == "test"
            })
        }
        _ => false,
    }
}

/// The index after the item (or field, or statement) whose attributes may go on at `at`.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    while let Some(end) = attribute(tokens, at) {
        at = end;
    }
    let mut first = at;
    if tokens.get(first).is_some_and(|token| token.is("pub")) {
        first += 1;
        if tokens.get(first).is_some_and(|token| token.is("(")) {
            first = closing(tokens, first).unwrap_or(tokens.len());
        }
    }
    const ITEMS: [&str; 14] = [
        "fn", "mod", "use", "struct", "enum", "impl", "trait", "const", "static", "type", "async", "unsafe", "extern",
        "let",
    ];
    let is_item = tokens.get(first).is_some_and(|token| ITEMS.iter().any(|word| token.is(word)));
    let mut next = first;
    while let Some(token) = tokens.get(next) {
        if token.is(";") || (!is_item && token.is(",")) {
            return next + 1;
        }
        if token.is("{") {
            return closing(tokens, next).unwrap_or(tokens.len());
        }
        if token.is("}") || token.is(")") {
            return next;
        }
        next = if token.is("(") || token.is("[") { closing(tokens, next).unwrap_or(tokens.len()) } else { next + 1 };
    }
    tokens.len()
}

/// For every token the index of its chain of inline modules.
fn scopes<'a>(tokens: &[Token<'a>]) -> (Vec<usize>, Vec<Vec<&'a str>>) {
    let mut chains: Vec<Vec<&'a str>> = vec![Vec::new()];
    let mut here = 0;
    let mut depth = 0_usize;
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut result = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        if token.is("{") {
            depth += 1;
            if at >= 2 && tokens[at - 2].is("mod") {
                open.push((depth, here));
                let mut chain = chains[here].clone();
                chain.push(tokens[at - 1].text);
                chains.push(chain);
                here = chains.len() - 1;
            }
        } else if token.is("}") {
            if let Some((_, outer)) = open.pop_if(|(inside, _)| *inside == depth) {
                here = outer;
            }
            depth = depth.saturating_sub(1);
        }
        result.push(here);
    }
    (result, chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let source = Source::read(text, false);
        let kept = source.paths().into_iter().filter(|path| !path.test && path.segments.len() > 1);
        kept.map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_expanded() {
        let text = "use std::{net, collections::{HashMap as Map, self}, time::*}; use {a::b, c::d};";
        let expected = ["std::net", "std::collections::HashMap", "std::collections", "std::time::*", "a::b", "c::d"];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn paths_in_expressions_types_and_arguments_are_found() {
        assert_eq!(paths("fn f(x: Vec<std::net::IpAddr>) { g::<a::B>(c::d()) }"), ["std::net::IpAddr", "a::B", "c::d"]);
        assert_eq!(paths("fn f() -> a::B { x } use ::std::net; const X: u8 = ::c::D;"), ["a::B", "std::net", "c::D"]);
    }

    #[test]
    fn strings_comments_and_lifetimes_hide_nothing_else() {
        let text = r##"
            // std::net
            /* std::fs /* nested */ std::env */
            const A: &str = "std::thread \" ::"; const B: &str = r#"a::"b"#; const C: char = '"'; const D: char = '\'';
            fn f<'a>(x: &'a str) -> a::B<'a> { c::d(b"x::y", '\u{1F600}') }
        "##;
        assert_eq!(paths(text), ["a::B", "c::d"]);
    }

    #[test]
    fn test_items_are_marked_and_what_follows_them_is_not() {
        let text = "
            #[cfg(test)] use a::b; use c::d;
            #[cfg(test)] mod tests { use e::f; mod inner { fn x() { g::h() } } }
            struct S { #[cfg(test)] x: i::j, y: k::l }
            #[cfg(all(test, feature = \"x\"))] #[derive(Debug)] pub(crate) struct T(m::n);
            #[cfg(any(test, feature = \"x\"))] use o::p;
            #[tokio::test(start_paused = true)] async fn q() { r::s() }
            fn last<A, B>() { t::u() }";
        assert_eq!(paths(text), ["c::d", "k::l", "o::p", "t::u"]);
    }

    #[test]
    fn modules_know_their_inline_parents() {
        let source =
            Source::read("mod a; pub mod b { mod c; pub(crate) mod d {} } #[cfg(test)] mod tests; mod e;", false);
        let modules: Vec<_> = source.modules().into_iter().map(|m| (m.parents.join("::"), m.name, m.test)).collect();
        let expected = [
            ("", "a", false),
            ("", "b", false),
            ("b", "c", false),
            ("b", "d", false),
            ("", "tests", true),
            ("", "e", false),
        ];
        assert_eq!(modules, expected.map(|(parents, name, test)| (parents.to_owned(), name, test)));
    }

    #[test]
    fn a_justification_stands_on_the_line_or_in_the_comment_directly_above() {
        let text = "a(); // tidy: why\n\n// tidy: why\n// more words\nb();\nc();\n// tidy:\nd();";
        let source = Source::read(text, false);
        assert_eq!([1, 5, 6, 8].map(|line| source.justified(line)), [true, true, false, false]);
    }
}
