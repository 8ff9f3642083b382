//! Comments of proto files as doc comments of Rust.

/// Lines of `/// ..`; `fallback` when the proto says nothing. Blocks of code become text: they are not Rust, and
/// rustdoc would run them.
pub(super) fn doc(comment: &str, fallback: &str, indent: &str) -> String {
    let comment = if comment.trim().is_empty() { fallback } else { comment };
    let mut inside_fence = false;
    let mut out = String::new();
    for line in comment.lines() {
        let text = line.trim_start();
        let line = if text.starts_with("```") || text.starts_with("~~~") {
            inside_fence = !inside_fence;
            if inside_fence { "```text".to_owned() } else { "```".to_owned() }
        } else if inside_fence {
            line.to_owned()
        } else {
            // Four spaces make a code block; lists need two.
            format!("{}{text}", if text.len() < line.len() { "  " } else { "" })
        };
        out.push_str(&format!("{indent}/// {line}").trim_end().replace('\r', ""));
        out.push('\n');
    }
    if inside_fence {
        out.push_str(&format!("{indent}/// ```\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::doc;

    #[test]
    fn code_in_comments_does_not_run_as_a_test() {
        let comment = "Says.\n\n    let x = 1;\n```\nf(\n    g)\n```\n* one\n  more";
        let expected =
            "/// Says.\n///\n///   let x = 1;\n/// ```text\n/// f(\n///     g)\n/// ```\n/// * one\n///   more\n";
        assert_eq!(doc(comment, "", ""), expected);
        assert_eq!(doc("```\nopen", "", ""), "/// ```text\n/// open\n/// ```\n");
        assert_eq!(doc(" ", "fallback", "  "), "  /// fallback\n");
    }
}
