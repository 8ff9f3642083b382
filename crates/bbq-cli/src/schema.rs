//! JSON to protobuf and back, by the descriptors that games publish.

use std::collections::BTreeSet;

use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::Value;

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// The messages of one method.
#[derive(Debug)]
pub(crate) struct Method {
    descriptor: MethodDescriptor,
}

impl Method {
    /// `schema` is an encoded `FileDescriptorSet`, or several one after the other; `service` is a full name.
    pub(crate) fn of(schema: &[u8], service: &str, method: &str) -> Result<Self> {
        let bad = |why: String| {
            let what = format!("the description of {service} cannot be understood");
            Failure::new(Code::SCHEMA, what).because(why).fix("use a bbq of the same version as the game")
        };
        let mut set = FileDescriptorSet::decode(schema).map_err(|why| bad(why.to_string()))?;
        // What several of them import is in each.
        let mut seen = BTreeSet::new();
        set.file.retain(|file| seen.insert(file.name().to_owned()));
        let pool = DescriptorPool::from_file_descriptor_set(set).map_err(|why| bad(why.to_string()))?;
        let found = pool.services().find(|known| known.full_name() == service);
        let descriptor = found.and_then(|service| service.methods().find(|known| known.name() == method));
        descriptor.map(|descriptor| Self { descriptor }).ok_or_else(|| bad(format!("it lacks {service}/{method}")))
    }

    /// The request as bytes.
    pub(crate) fn request(&self, json: &str) -> Result<Vec<u8>> {
        let descriptor = self.descriptor.input();
        let bad = |why: serde_json::Error| {
            let fields: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
            let fix = match fields.is_empty() {
                true => format!("{} has no fields: write {{}}, or nothing", descriptor.full_name()),
                false => format!("fields of {}: {}", descriptor.full_name(), fields.join(", ")),
            };
            let what = format!("the JSON does not fit {}", descriptor.full_name());
            Failure::new(Code::JSON, what).because(why).fix(fix)
        };
        let mut reader = serde_json::Deserializer::from_str(json);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let message = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut reader, &options);
        let message = message.and_then(|message| reader.end().map(|()| message)).map_err(bad)?;
        Ok(message.encode_to_vec())
    }

    /// The answer as JSON, with the names of the proto file.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Result<Value> {
        let bad = |why: String| {
            let what = format!("the answer is no {}", self.descriptor.output().full_name());
            Failure::new(Code::SCHEMA, what).because(why).fix("use a bbq of the same version as the game")
        };
        let message = DynamicMessage::decode(self.descriptor.output(), bytes).map_err(|why| bad(why.to_string()))?;
        let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
        message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|why| bad(why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = r#"syntax = "proto3";
        package shop;
        import "google/protobuf/empty.proto";
        import "gobbq/options.proto";
        service Till {
            option (gobbq.service) = { kind: ENTITY };
            rpc Pay(Coins) returns (Coins);
            rpc Open(google.protobuf.Empty) returns (google.protobuf.Empty);
        }
        message Coins { uint64 count = 1; string paid_by = 2; repeated string notes = 3; }"#;

    fn method(name: &str) -> Method {
        let schema = bbq_gen::compile_texts(&[("shop.proto", PROTO)]).expect("valid");
        Method::of(&schema.descriptor, "shop.Till", name).expect("a method")
    }

    #[test]
    fn json_becomes_a_message_and_comes_back_with_the_names_of_the_proto() {
        let pay = method("Pay");
        let bytes = pay.request(r#"{"count": "7", "paid_by": "ann"}"#).expect("fits");
        assert_eq!(bytes, b"\x08\x07\x12\x03ann");
        let json = serde_json::json!({ "count": "7", "paid_by": "ann", "notes": [] });
        assert_eq!(pay.answer(&bytes).expect("a message"), json);
        assert_eq!(method("Open").request("{}").expect("fits"), b"");
    }

    #[test]
    fn json_that_does_not_fit_is_answered_with_the_fields() {
        for json in [r#"{"cont": 7}"#, "{", r#"{"count": "many"}"#, "{} {}", "[]"] {
            let failure = method("Pay").request(json).expect_err(json);
            assert_eq!(failure.code, Code::JSON);
            assert_eq!(failure.fix, "fields of shop.Coins: count, paid_by, notes");
        }
        let failure = method("Open").request(r#"{"x": 1}"#).expect_err("no such field");
        assert!(failure.fix.contains("has no fields"), "{failure}");
    }

    #[test]
    fn several_schemas_one_after_the_other_are_one() {
        let other = PROTO.replace("package shop", "package bank");
        let schemas = [("shop.proto", PROTO), ("bank.proto", &other)];
        let compile = |one: (&str, &str)| bbq_gen::compile_texts(&[one]).expect("valid").descriptor;
        let both = schemas.map(compile).concat();
        for service in ["shop.Till", "bank.Till"] {
            assert!(Method::of(&both, service, "Pay").is_ok(), "{service}");
        }
    }

    #[test]
    fn damaged_descriptions_and_answers_are_failures() {
        assert_eq!(Method::of(b"\xff", "shop.Till", "Pay").expect_err("damaged").code, Code::SCHEMA);
        assert_eq!(method("Pay").answer(b"\xff").expect_err("damaged").code, Code::SCHEMA);
    }
}
