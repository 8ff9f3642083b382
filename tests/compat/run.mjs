// The original's client, unmodified, against a compat listener:
//
//   node run.mjs ws://127.0.0.1:4010      (or tcp://, kcp://)
//
// The cluster behind it must serve, in package `exampb` (the messages are those of the original's example):
//   service EchoSvc2   SayHello: pushes `Client.SayHello { text: "push:" + text }` to the caller, answers "service:" + text
//   entity  EchoEty    SayHello: calls `Client.SayHello { text: "ask:" + text }` on the caller, answers what it answers
//   client  Client     SayHello
// Prints one line of JSON and ends with 0 when everything held.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The package logs everything to stdout.
console.log = () => {};
const require = createRequire(import.meta.url);
const { Client } = require("gobbq-ts/dist/src/index.js");
const { NewGateService } = require("gobbq-ts/dist/proto/gate.bbq.js");
const exam = require("gobbq-ts/dist/example/exampb/exam.bbq.js");
const Long = require("long");

const address = process.argv[2];
const ENTITY = Long.fromString(process.argv[3] ?? "5", true);
const LIMIT_MS = 15_000;

class ClientImpl {
  heard = [];
  #waiting = [];

  SayHello(_context, request) {
    this.heard.push(request.text);
    this.#waiting.splice(0).forEach((resume) => resume());
    return { text: `client:${request.text}`, CLientID: Long.UZERO };
  }

  async hears(text) {
    while (!this.heard.includes(text)) {
      await new Promise((resume) => this.#waiting.push(resume));
    }
    return text;
  }
}

async function main() {
  const { protocol, hostname, port } = new URL(address);
  const remote = { protocol: protocol.replace(":", ""), host: hostname, port: Number(port) };
  const client = await Client.create({ remote, timeout: 5000 });
  const impl = new ClientImpl();
  client.register(exam.ClientEntityDefinition, impl);
  assert.ok(!client.EntityID.isZero(), "the gate names the client");

  const ping = await NewGateService(client).Ping({});
  const hello = (text) => ({ text, CLientID: client.EntityID });
  const service = await exam.NewEchoSvc2Service(client).SayHello(hello("one"));
  assert.equal(service.response.text, "service:one");
  const push = await impl.hears("push:one");
  const entity = await exam.NewEchoEtyEntity(client, ENTITY).SayHello(hello("two"));
  assert.equal(entity.response.text, "client:ask:two");

  const unknown = exam.NewEchoService(client).SayHello(hello("nobody"));
  const failure = await unknown.then(() => assert.fail("nobody serves it"), (code) => code);
  assert.equal(failure, 12, "UNIMPLEMENTED");

  const big = "x".repeat(20_000);
  const large = await exam.NewEchoSvc2Service(client).SayHello(hello(big));
  assert.equal(large.response.text, `service:${big}`);
  const many = await Promise.all(
    Array.from({ length: 20 }, (_, n) => exam.NewEchoSvc2Service(client).SayHello(hello(`${n}`))),
  );
  many.forEach(({ response }, n) => assert.equal(response.text, `service:${n}`));

  return {
    address,
    registered: client.EntityID.toString(),
    ping: ping.error === undefined,
    service: service.response.text,
    entity: entity.response.text,
    push,
    failure,
    large: large.response.text.length,
    many: many.length,
  };
}

const late = setTimeout(() => finish({ error: "not done in time" }, 1), LIMIT_MS);

function finish(result, status) {
  clearTimeout(late);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(status));
}

main().then(
  (result) => finish(result, 0),
  (error) => finish({ error: String(error?.stack ?? error) }, 1),
);
