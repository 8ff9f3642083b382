//! The web pages of the demo, compiled in.

use bytes::Bytes;

/// Path from the root of the server, and content.
static PAGES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// What the gate answers to a path: content type and body. `/` is the index, `/arena` is `/arena.html`.
pub(crate) fn page(path: &str) -> Option<(String, Bytes)> {
    let path = if path == "/" { "/index.html" } else { path };
    let found = PAGES.iter().find(|(name, _)| *name == path || name.strip_suffix(".html") == Some(path))?;
    Some((content_type(found.0).to_owned(), Bytes::from_static(found.1)))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_with_and_without_their_ending() {
        assert!(page("/no-such-page").is_none());
        for (name, body) in PAGES {
            assert_eq!(page(name).map(|page| page.1), Some(Bytes::from_static(body)), "{name}");
        }
        if !PAGES.is_empty() {
            assert_eq!(page("/"), page("/index.html"));
            assert_eq!(page("/arena"), page("/arena.html"));
        }
    }

    #[test]
    fn browsers_are_told_what_they_get() {
        assert_eq!(content_type("/a/b.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("/license"), "application/octet-stream");
    }
}
