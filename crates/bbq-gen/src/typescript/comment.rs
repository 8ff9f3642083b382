//! Comments of proto files as JSDoc.

/// A block of several lines, as protobuf-es writes it.
pub(super) fn block(text: &str, indent: &str) -> String {
    let mut out = format!("{indent}/**\n");
    for line in text.split('\n') {
        let space = if line.is_empty() { "" } else { " " };
        out.push_str(&format!("{indent} *{space}{}\n", line.replace("*/", "*\\/")));
    }
    out + indent + " */\n"
}

/// One line where it fits, nothing for no comment.
pub(super) fn short(text: &str, indent: &str) -> String {
    if text.trim().is_empty() {
        String::new()
    } else if text.contains('\n') {
        block(text, indent)
    } else {
        format!("{indent}/** {} */\n", text.replace("*/", "*\\/"))
    }
}

/// The comment of a thing, followed by where it comes from.
pub(super) fn generated(leading: Option<&str>, trailing: Option<&str>, origin: &str, deprecated: bool) -> String {
    let mut text = String::new();
    for comment in [leading, trailing].into_iter().flatten() {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(comment.strip_suffix('\n').unwrap_or(comment));
    }
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    let lines: Vec<&str> = text.split('\n').map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let deprecated = if deprecated { "\n@deprecated" } else { "" };
    format!("{}@generated from {origin}{deprecated}", lines.join("\n"))
}
