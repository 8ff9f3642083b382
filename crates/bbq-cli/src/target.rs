//! What `bbq call` names: an entity or a service, and one of its methods, as the nodes of a cluster know them.

use bbq_core::control::{ClusterView, MethodRecord, NodeRecord, ServiceRecord};
use bbq_wire::Key;
use bbq_wire::id::MAX_KEY_BYTES;

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// `Room/lobby` or `Lobby`, not looked up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) kind: &'a str,
    pub(crate) key: Option<Key>,
}

impl<'a> Target<'a> {
    /// Everything after the first `/` is the key. Digits are a number, quotes make text of them.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let bad = |why: &str| {
            let fix = "an entity is TYPE/KEY (Room/lobby), a service is TYPE (Lobby)";
            Err(Failure::new(Code::TARGET, format!("`{text}` is no target")).because(why).fix(fix))
        };
        let (kind, key) = match text.split_once('/') {
            Some((kind, key)) => (kind, Some(key)),
            None => (text, None),
        };
        if kind.is_empty() {
            return bad("the type is missing");
        }
        let quoted = |key: &str| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).map(str::to_owned);
        let key = match key {
            None => None,
            Some("") => return bad("the key is missing"),
            Some(key) => Some(match (quoted(key), key.parse::<u64>()) {
                (Some(text), _) => Key::from(text),
                (None, Ok(number)) => Key::from(number),
                (None, Err(_)) => Key::from(key),
            }),
        };
        match &key {
            Some(Key::Text(text)) if text.len() > MAX_KEY_BYTES => bad("a key has at most 64 bytes"),
            _ => Ok(Self { kind, key }),
        }
    }
}

/// A method of a living node.
#[derive(Clone, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) node: &'a NodeRecord,
    pub(crate) service: &'a ServiceRecord,
    pub(crate) method: &'a MethodRecord,
}

/// Looks the method up among everything that the nodes serve.
pub(crate) fn find<'a>(view: &'a ClusterView, target: &Target<'_>, method: &str) -> Result<Found<'a>> {
    let served =
        || view.nodes.values().flat_map(|node| node.info.services.iter().map(move |service| (&**node, service)));
    let names = || {
        let mut names: Vec<&str> = served().map(|(_, service)| service.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    if served().next().is_none() {
        let fix = "start a game: bbq dev, bbq demo or bbq run game";
        return Err(Failure::new(Code::NOT_RUNNING, "no node of the cluster serves anything").fix(fix));
    }
    let matching: Vec<&str> = names().into_iter().filter(|name| is_called(name, target.kind)).collect();
    let name = match matching.as_slice() {
        [name] => *name,
        [] => {
            let fix = format!("there are: {}", names().join(", "));
            return Err(Failure::new(Code::NO_TYPE, format!("nobody serves a type `{}`", target.kind)).fix(fix));
        }
        several => {
            let fix = format!("write it with its package: {}", several.join(" or "));
            return Err(Failure::new(Code::NO_TYPE, format!("`{}` can be several types", target.kind)).fix(fix));
        }
    };
    // The newest of several versions: they differ during a rolling update.
    let newest = served().filter(|(_, service)| service.name == name).max_by_key(|(node, _)| node.uid.incarnation);
    let Some((node, service)) = newest else {
        return Err(Failure::new(Code::NOT_RUNNING, format!("nobody serves {name} any more")));
    };
    match (service.entity, &target.key) {
        (true, None) => {
            let what = format!("{name} is an entity type: which one?");
            return Err(Failure::new(Code::TARGET, what).fix(format!("add a key: {}/KEY", target.kind)));
        }
        (false, Some(_)) => {
            let what = format!("{name} is a service: it has no key");
            return Err(Failure::new(Code::TARGET, what).fix(format!("leave the key out: {}", target.kind)));
        }
        _ => {}
    }
    match service.methods.iter().find(|known| known.name == method) {
        Some(method) => Ok(Found { node, service, method }),
        None => {
            let known: Vec<&str> = service.methods.iter().map(|method| method.name.as_str()).collect();
            let near = known.iter().find(|known| known.eq_ignore_ascii_case(method));
            let fix = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            Err(Failure::new(Code::NO_METHOD, format!("{name} has no method `{method}`")).fix(fix))
        }
    }
}

/// With or without its package.
fn is_called(name: &str, wanted: &str) -> bool {
    name == wanted || name.strip_suffix(wanted).is_some_and(|package| package.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bbq_core::control::NodeInfo;
    use bbq_wire::NodeUid;

    use super::*;

    fn service(name: &str, entity: bool) -> ServiceRecord {
        let methods = ["Say", "Join"].map(|name| MethodRecord { name: name.to_owned(), ..MethodRecord::default() });
        ServiceRecord { name: name.to_owned(), entity, methods: methods.to_vec(), ..ServiceRecord::default() }
    }

    fn view(services: &[(&str, bool)]) -> ClusterView {
        let services = services.iter().map(|(name, entity)| service(name, *entity)).collect();
        let uid = NodeUid { node: 1, incarnation: 1 };
        let node = NodeRecord { uid, info: NodeInfo { services, ..NodeInfo::default() }, ..NodeRecord::default() };
        ClusterView { nodes: [(uid, Arc::new(node))].into(), ..ClusterView::default() }
    }

    fn code(view: &ClusterView, target: &str, method: &str) -> Option<(&'static Code, String)> {
        let target = Target::parse(target).expect("a target");
        find(view, &target, method).err().map(|failure| (failure.code, failure.fix))
    }

    #[test]
    fn digits_are_a_number_unless_they_are_quoted() {
        let key = |text: &'static str| Target::parse(text).expect("a target").key;
        assert_eq!(key("Room/lobby"), Some(Key::from("lobby")));
        assert_eq!(key("Room/42"), Some(Key::from(42)));
        assert_eq!(key("Room/\"42\""), Some(Key::from("42")));
        assert_eq!(key("Room/a/b"), Some(Key::from("a/b")));
        assert_eq!(key("Lobby"), None);
        for bad in ["", "/x", "Room/", &format!("Room/{}", "x".repeat(65))] {
            assert_eq!(Target::parse(bad).expect_err(bad).code, Code::TARGET);
        }
    }

    #[test]
    fn a_type_is_found_with_and_without_its_package() {
        let view = view(&[("chat.Room", true), ("chat.Lobby", false)]);
        assert_eq!(code(&view, "Room/x", "Say"), None);
        assert_eq!(code(&view, "chat.Room/x", "Say"), None);
        assert_eq!(code(&view, "Lobby", "Join"), None);
        assert!(code(&view, "oom/x", "Say").is_some(), "a part of a name is no name");
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        let two = view(&[("chat.Room", true), ("chess.Room", true), ("chat.Lobby", false)]);
        let (nothing, names) = code(&two, "Rom/x", "Say").expect("not there");
        assert_eq!((nothing, names.as_str()), (Code::NO_TYPE, "there are: chat.Lobby, chat.Room, chess.Room"));
        assert_eq!(code(&two, "Room/x", "Say").expect("ambiguous").0, Code::NO_TYPE);
        assert_eq!(code(&two, "chat.Room", "Say").expect("no key").0, Code::TARGET);
        assert_eq!(code(&two, "Lobby/x", "Say").expect("a key").0, Code::TARGET);
        assert_eq!(code(&two, "Lobby", "say").expect("no method"), (Code::NO_METHOD, "did you mean `Say`?".to_owned()));
        assert_eq!(code(&two, "Lobby", "Fly").expect("no method").1, "there are: Say, Join");
        assert_eq!(code(&ClusterView::default(), "Lobby", "Say").expect("nobody").0, Code::NOT_RUNNING);
    }
}
