//! TypeScript, compared with the committed one, and compiled and run with protobuf-es.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, process};

use bbq_gen::{GeneratedFile, compile, typescript};
use buffa::Message as _;

use crate::compiled::generated::chat::{SayRequest, say_request};
use crate::golden::expect;

/// Made with the sources of the TypeScript SDK, which has its own tests of what these files do.
const SDK: &str = "../../sdk/typescript";

fn sample() -> Vec<GeneratedFile> {
    let files = ["tests/proto/chat/chat.proto", "tests/proto/chat/corners.proto"];
    typescript(&compile(&files, &["tests/proto"]).expect("the samples are valid")).expect("the samples have no errors")
}

#[test]
fn typescript_of_the_samples() {
    let files = sample();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["chat/common_pb.ts", "chat/chat_pb.ts", "chat/chat_gobbq.ts", "chat/corners_pb.ts"]);
    for file in &files {
        expect(file.path.trim_start_matches("chat/"), &file.text);
    }
    assert_eq!(sample(), files, "the same files give the same text");
}

#[test]
fn typescript_is_what_the_sdk_expects() {
    let fixtures = format!("{SDK}/test/fixtures");
    let schema = compile(&[format!("{fixtures}/chat.proto")], &[&fixtures]).expect("the fixture is valid");
    for file in typescript(&schema).expect("the fixture has no errors") {
        let expected = fs::read_to_string(format!("{fixtures}/{}", file.path)).expect("the fixture is there");
        assert!(file.text == expected, "{} of the SDK differs:\n{}", file.path, file.text);
    }
}

const PROGRAM: &str = r#"
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ChatClient, Lobby, Room } from "./chat/chat_gobbq.js";
import { JoinReplySchema, RoomState_MemberSchema, RoomStateSchema, SayRequest_Part_Style, SayRequestSchema } from "./chat/chat_pb.js";
import { Mood } from "./chat/common_pb.js";
import { MessageSchema, ObjectSchema, SpecialSchema, file_chat_corners } from "./chat/corners_pb.js";

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const said = fromBinary(SayRequestSchema, Uint8Array.from(Buffer.from(process.argv[2]!, "hex")));
check(said.text === "hi" && said.at === -1n && said.loud === undefined, "fields");
check(said.target.case === "part" && said.target.value.style === SayRequest_Part_Style.BOLD, "oneof");
console.log(Buffer.from(toBinary(SayRequestSchema, said)).toString("hex"));

const state = create(RoomStateSchema, {
  members: { "18446744073709551615": { name: "ann", since: timestampFromMs(1) } },
  moods: { 3: Mood.HAPPY },
  history: [-(2n ** 63n)],
});
const copy = fromBinary(RoomStateSchema, toBinary(RoomStateSchema, state));
check(copy.members["18446744073709551615"]?.name === "ann" && copy.moods[3] === Mood.HAPPY, "maps");
check(RoomState_MemberSchema.typeName === "chat.RoomState.Member", "nested messages behind maps");
check(copy.history[0] === -(2n ** 63n), "64 bits");

const special = create(SpecialSchema, { tree: { a: [1, null] }, big: 2n ** 60n, asString: "7", message: { constructor$: "c" } });
const json = JSON.stringify(toJson(SpecialSchema, fromBinary(SpecialSchema, toBinary(SpecialSchema, special))));
check(json === `{"tree":{"a":[1,null]},"big":"1152921504606846976","asString":"7","msg":{"constructor":"c"}}`, json);
check(create(MessageSchema, { Leading: "x" }).toString$ === 0, "escaped names");
check(create(ObjectSchema, { choice: { case: "first", value: -2 } }).choice.case === "first", "enum in a oneof");
check(file_chat_corners.dependencies.length === 5, "dependencies");

check(Room.name === "chat.Room" && Room.methods.join.id === 7 && Room.methods.join.reply === JoinReplySchema, "stub");
check(Room.methods.leave.request === null && Room.methods.leave.oneway === true, "oneway");
check(!("members" in Room.methods) && Object.keys(Lobby.methods).join() === "listHTTPRooms", "only what clients may call");
check(Object.keys(ChatClient.methods).join() === "said,confirm", "what clients implement");
"#;

/// As little of the SDK as a stub needs.
const STUB_OF_SDK: &str = r#"
export function entity<const M>(name: string, methods: M): { name: string; methods: M } { return { name, methods }; }
export const service = entity;
export const client = entity;
export type StubOf<I> = I extends { methods: infer M } ? keyof M : never;
export type HandlersOf<I> = StubOf<I>;
"#;

const CONFIG: &str = r#"{
  "compilerOptions": {
    "target": "ES2022", "lib": ["ES2022", "DOM"], "module": "NodeNext", "moduleResolution": "NodeNext",
    "types": ["node"], "strict": true, "noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true,
    "noUnusedLocals": true, "noUnusedParameters": true, "verbatimModuleSyntax": true, "isolatedModules": true,
    "skipLibCheck": true, "rootDir": ".", "outDir": "out", "paths": { "gobbq": ["./gobbq.ts"] }
  },
  "include": ["*.ts", "chat/*.ts"]
}"#;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("typescript-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("chat")).expect("the target directory is writable");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("the scratch directory is writable");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Option<Output> {
        Command::new(program).args(arguments).current_dir(&self.0).output().ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The packages of the SDK if they are installed, else fresh ones. `false` when there are neither.
fn install(scratch: &Scratch) -> bool {
    scratch.write("package.json", r#"{ "type": "module", "private": true }"#);
    let modules = fs::canonicalize(Path::new(SDK).join("node_modules")).unwrap_or_default();
    let needed = ["@bufbuild/protobuf", "@types/node", "typescript"];
    if needed.iter().all(|package| modules.join(package).is_dir()) {
        return std::os::unix::fs::symlink(modules, scratch.0.join("node_modules")).is_ok();
    }
    let packages = ["install", "--silent", "@bufbuild/protobuf@2", "@types/node@20", "typescript"];
    scratch.run("npm", &packages).is_some_and(|output| output.status.success())
}

#[test]
fn typescript_runs_with_protobuf_es() {
    let scratch = Scratch::new();
    let has_node = scratch.run("node", &["--version"]).is_some_and(|output| output.status.success());
    if !has_node || !install(&scratch) {
        assert!(env::var("CI").as_deref() != Ok("true"), "CI needs node with npm");
        println!("SKIPPED typescript_runs_with_protobuf_es: there is no node, or no way to its packages");
        return;
    }
    for file in sample() {
        scratch.write(&file.path, &file.text);
    }
    scratch.write("gobbq.ts", STUB_OF_SDK);
    scratch.write("main.ts", PROGRAM);
    scratch.write("tsconfig.json", CONFIG);
    let compiled = scratch.run("node", &["node_modules/typescript/bin/tsc", "-p", "."]).expect("node runs");
    assert!(compiled.status.success(), "{}", text(&compiled));

    let part =
        say_request::Part { text: "part".into(), style: say_request::part::Style::Bold.into(), ..Default::default() };
    let request = SayRequest {
        text: "hi".into(),
        target: Some(say_request::Target::from(part)),
        at: Some(-1),
        picture: bytes::Bytes::from_static(b"png"),
        ..Default::default()
    };
    let sent = hex(&request.encode_to_vec());
    // Node resolves `gobbq` as a package.
    fs::create_dir_all(scratch.0.join("out/node_modules/gobbq")).expect("the scratch directory is writable");
    scratch.write("out/node_modules/gobbq/package.json", r#"{ "type": "module", "exports": "./gobbq.js" }"#);
    fs::copy(scratch.0.join("out/gobbq.js"), scratch.0.join("out/node_modules/gobbq/gobbq.js"))
        .expect("it was compiled");
    let ran = scratch.run("node", &["out/main.js", &sent]).expect("node runs");
    assert!(ran.status.success(), "{}", text(&ran));
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), sent, "both languages write the same bytes");
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
