//! Reads `(gobbq.service)` and `(gobbq.method)`, and notes what they get wrong.

use protox::prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, ServiceDescriptor};

use crate::finding::{Finding, Location};
use crate::schema::{Kind, Method, Restart, Save, Service, State};
use crate::sources::Places;
use crate::syntax::{Rate, duration_ms, method_id, rate};

/// Number of our extension of `ServiceOptions`, as it appears in descriptor paths.
const SERVICE: i32 = 77_100;
/// Number of our extension of `MethodOptions`.
const METHOD: i32 = 77_101;
/// Largest id that can be written.
const MAX_EXPLICIT_ID: u32 = 1023;

/// Options of one thing, with the place to complain about and the list to complain to.
struct Reader<'a> {
    options: Options,
    what: String,
    at: Location,
    findings: &'a mut Vec<Finding>,
}

/// Reads a service with its options and methods.
pub(crate) fn read_service(service: &ServiceDescriptor, places: &Places, findings: &mut Vec<Finding>) -> Service {
    let path = service.path();
    let options = Options::of(&service.options(), "gobbq.service");
    let legacy = if options.is_there() { None } else { legacy_kind(service) };
    let mut reader = Reader {
        options,
        what: service.full_name().to_owned(),
        at: places.at(&[path, &[3, SERVICE]].concat()),
        findings,
    };
    let kind = legacy.unwrap_or_else(|| reader.kind());
    let (state, idle_ms) = (reader.state(service), reader.duration("idle"));
    reader.only_for_entities(kind);
    Service {
        full_name: service.full_name().to_owned(),
        name: service.name().to_owned(),
        package: service.package_name().to_owned(),
        file: service.parent_file().name().to_owned(),
        kind,
        state,
        mailbox: reader.options.number("mailbox"),
        idle_ms,
        restart: if reader.options.choice("restart") == 1 { Restart::Stop } else { Restart::FromState },
        doc: places.doc(path),
        at: places.at_name(path),
        methods: service.methods().map(|method| read_method(&method, kind, places, findings)).collect(),
    }
}

/// The first gobbq knew entities and services, and an entity was what nothing was said of. `None` where its options
/// are not imported.
fn legacy_kind(service: &ServiceDescriptor) -> Option<Kind> {
    let extension = service.parent_pool().get_extension_by_name("bbq.service_type")?;
    let home = extension.parent_file();
    if !service.parent_file().dependencies().any(|file| file == home) {
        return None;
    }
    let kind = service.options().get_extension(&extension).as_enum_number();
    Some(if kind == Some(1) { Kind::Service } else { Kind::Entity })
}

fn read_method(method: &MethodDescriptor, kind: Kind, places: &Places, findings: &mut Vec<Finding>) -> Method {
    let path = method.path();
    let wire_path = format!("{}/{}", method.parent_service().full_name(), method.name());
    let mut reader = Reader {
        options: Options::of(&method.options(), "gobbq.method"),
        what: wire_path.clone(),
        at: places.at(&[path, &[4, METHOD]].concat()),
        findings,
    };
    let explicit = reader.explicit_id();
    let read = Method {
        name: method.name().to_owned(),
        id: explicit.unwrap_or_else(|| method_id(&wire_path)),
        explicit_id: explicit.is_some(),
        request: method.input().full_name().to_owned(),
        reply: method.output().full_name().to_owned(),
        client: reader.options.flag("client"),
        oneway: reader.options.flag("oneway"),
        reentrant: reader.options.flag("reentrant"),
        timeout_ms: reader.duration("timeout"),
        rate: reader.rate(),
        unlimited: reader.options.flag("unlimited"),
        max_bytes: reader.options.number("max_bytes"),
        doc: places.doc(path),
        at: places.at_name(path),
    };
    reader.limits(&read, kind);
    if method.is_client_streaming() || method.is_server_streaming() {
        let message = format!("{wire_path} streams, and calls do not");
        findings.push(Finding::error("BBQ-0110", &read.at, message, "push to a group, or call a CLIENT method"));
    }
    read
}

impl Reader<'_> {
    fn error(&mut self, code: &'static str, message: String, fix: &str) {
        self.findings.push(Finding::error(code, &self.at, message, fix));
    }

    fn warning(&mut self, code: &'static str, message: String, fix: &str) {
        self.findings.push(Finding::warning(code, &self.at, message, fix));
    }

    fn kind(&self) -> Kind {
        match self.options.choice("kind") {
            1 => Kind::Entity,
            2 => Kind::Client,
            _ => Kind::Service,
        }
    }

    fn state(&mut self, service: &ServiceDescriptor) -> Option<State> {
        let written = self.options.text("state");
        let save = self.save(!written.is_empty());
        if written.is_empty() {
            return None;
        }
        let found = resolve(service.parent_pool(), service.package_name(), &written);
        if found.is_none() {
            let message = format!("the state `{written}` of {} is no message", self.what);
            self.error("BBQ-0105", message, "name a message of this package, or one with its package");
        }
        Some(State { message: found.unwrap_or(written), save })
    }

    fn save(&mut self, has_state: bool) -> Save {
        let (save, interval) = (self.options.choice("save"), self.options.text("interval"));
        let what = self.what.clone();
        if !has_state && (save != 0 || !interval.is_empty()) {
            self.error("BBQ-0112", format!("{what} has `save` but no `state`"), "name the state message, or remove it");
        } else if save == 1 && interval.is_empty() {
            self.error(
                "BBQ-0112",
                format!("{what} has `save: INTERVAL` without an interval"),
                "add `interval: \"5s\"`",
            );
        } else if save != 1 && !interval.is_empty() {
            self.error(
                "BBQ-0112",
                format!("{what} has an `interval` without `save: INTERVAL`"),
                "add `save: INTERVAL`",
            );
        }
        match save {
            1 => Save::Interval(self.duration("interval")),
            2 => Save::Manual,
            _ => Save::Turn,
        }
    }

    /// The duration in the option `name`, in milliseconds; 0 when it is not there or wrong.
    fn duration(&mut self, name: &str) -> u32 {
        let text = self.options.text(name);
        if text.is_empty() {
            return 0;
        }
        duration_ms(&text).unwrap_or_else(|problem| {
            let message = format!("`{name}` of {}: {problem}", self.what);
            self.error("BBQ-0104", message, "write one number and one of ms, s, m, h, d");
            0
        })
    }

    fn rate(&mut self) -> Option<Rate> {
        let text = self.options.text("rate");
        if text.is_empty() {
            return None;
        }
        let rate = rate(&text).map_err(|problem| {
            let message = format!("`rate` of {}: {problem}", self.what);
            self.error("BBQ-0104", message, "write calls per s, m or h, and `burst` if need be");
        });
        rate.ok()
    }

    fn explicit_id(&mut self) -> Option<u32> {
        let id = self.options.number("id");
        if id > MAX_EXPLICIT_ID {
            let message = format!("the id {id} of {} is above {MAX_EXPLICIT_ID}", self.what);
            self.error("BBQ-0103", message, "choose 1 .. 1023; larger ids are hashes");
        }
        (id != 0).then_some(id)
    }

    fn only_for_entities(&mut self, kind: Kind) {
        let given = [
            ("state", !self.options.text("state").is_empty()),
            ("idle", !self.options.text("idle").is_empty()),
            ("restart", self.options.choice("restart") != 0),
            ("mailbox", kind == Kind::Client && self.options.number("mailbox") != 0),
        ];
        for (name, _) in given.iter().filter(|(_, given)| *given && kind != Kind::Entity) {
            let message = format!("`{name}` says something of an entity, and {} is none", self.what);
            self.error("BBQ-0106", message, "set `kind: ENTITY`, or remove it");
        }
    }

    fn limits(&mut self, method: &Method, kind: Kind) {
        let what = self.what.clone();
        let limited = !self.options.text("rate").is_empty();
        if method.oneway && !method.returns_nothing() {
            let message = format!("{what} is oneway, so nobody gets its {}", method.reply);
            self.error("BBQ-0108", message, "return google.protobuf.Empty");
        }
        if method.reentrant && kind != Kind::Entity {
            let message = format!("{what} is reentrant, and only entities wait");
            self.error("BBQ-0106", message, "remove `reentrant`");
        }
        if kind == Kind::Client && method.client {
            let message = format!("{what} is implemented by clients, so no client calls it");
            self.error("BBQ-0107", message, "remove `client`");
        } else if method.client && limited && method.unlimited {
            self.error("BBQ-0113", format!("{what} has a rate and is unlimited"), "remove one of the two");
        } else if method.client && !limited && !method.unlimited {
            let message = format!("a client may call {what} as often as it likes");
            self.warning("BBQ-0109", message, "add `rate: \"10/s\"`, or `unlimited: true` if that is meant");
        } else if !method.client && (limited || method.unlimited || method.max_bytes != 0) {
            let message = format!("{what} has limits for clients, and none may call it");
            self.warning("BBQ-0113", message, "add `client: true`, or remove the limits");
        }
    }
}

/// The full name of the message that `written` means inside `package`: the innermost scope wins.
fn resolve(pool: &DescriptorPool, package: &str, written: &str) -> Option<String> {
    let exact = |name: &str| pool.get_message_by_name(name).map(|message| message.full_name().to_owned());
    if let Some(absolute) = written.strip_prefix('.') {
        return exact(absolute);
    }
    let mut scope = package;
    while !scope.is_empty() {
        if let Some(found) = exact(&format!("{scope}.{written}")) {
            return Some(found);
        }
        scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
    exact(written)
}

/// The options of a thing: an extension message read by field name, or nothing.
struct Options(Option<DynamicMessage>);

impl Options {
    /// The extension `name` of `options`.
    fn of(options: &DynamicMessage, name: &str) -> Self {
        let extension = options.descriptor().get_extension_by_full_name(name);
        let value = extension.filter(|extension| options.has_extension(extension));
        Self(value.and_then(|extension| options.get_extension(&extension).as_message().cloned()))
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    fn text(&self, name: &str) -> String {
        let value = self.0.as_ref().and_then(|options| options.get_field_by_name(name));
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u32 {
        let value = self.0.as_ref().and_then(|options| options.get_field_by_name(name));
        value.and_then(|value| value.as_u32()).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        let value = self.0.as_ref().and_then(|options| options.get_field_by_name(name));
        value.and_then(|value| value.as_bool()).unwrap_or_default()
    }

    fn choice(&self, name: &str) -> i32 {
        let value = self.0.as_ref().and_then(|options| options.get_field_by_name(name));
        value.and_then(|value| value.as_enum_number()).unwrap_or_default()
    }
}
