// SPDX-License-Identifier: MIT OR Apache-2.0
// What graphene-pk11 offers that this token has, checked with Node's own crypto.
//
//     node token.js MODULE TOKEN KEY

const assert = require("node:assert");
const crypto = require("node:crypto");
const graphene = require("graphene-pk11");

const [path, label, keyLabel] = process.argv.slice(2);
const P256 = Buffer.from("06082a8648ce3d030107", "hex");
const SPKI = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

/** The public key object as Node has it. */
function publicKey(object) {
  const point = object.getAttribute({ pointEC: null }).pointEC;
  assert.strictEqual(point.subarray(0, 3).toString("hex"), "044104");
  return crypto.createPublicKey({ key: Buffer.concat([SPKI, point.subarray(2)]), format: "der", type: "spki" });
}

function only(objects) {
  assert.strictEqual(objects.length, 1);
  return objects.items(0);
}

function signAndVerify(session, privateKey, nodeKey) {
  const message = Buffer.from("a message");
  for (const [mechanism, hash] of [["ECDSA_SHA256", "sha256"], ["ECDSA_SHA384", "sha384"]]) {
    const signer = session.createSign(mechanism, privateKey);
    signer.update(message.subarray(0, 3));
    signer.update(message.subarray(3));
    const signature = signer.final();
    const options = { key: nodeKey, dsaEncoding: "ieee-p1363" };
    assert(crypto.verify(hash, message, options, signature), mechanism);
    signature[9] ^= 1;
    assert(!crypto.verify(hash, message, options, signature), mechanism);
  }
  // A signature of Node's, checked by the token.
  const { privateKey: other, publicKey: otherPublic } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = otherPublic.export({ format: "der", type: "spki" });
  const imported = session.create({
    class: graphene.ObjectClass.PUBLIC_KEY,
    keyType: graphene.KeyType.EC,
    token: false,
    verify: true,
    paramsEC: P256,
    pointEC: Buffer.concat([Buffer.from("0441", "hex"), spki.subarray(-65)]),
  });
  const theirs = crypto.sign("sha256", message, { key: other, dsaEncoding: "ieee-p1363" });
  assert(session.createVerify("ECDSA_SHA256", imported.toType()).once(message, theirs));
}

function generateAndDestroy(session) {
  const template = { keyType: graphene.KeyType.EC, token: true, id: Buffer.from("77", "hex"), label: "made by node" };
  const pair = session.generateKeyPair(
    graphene.KeyGenMechanism.EC,
    { ...template, verify: true, paramsEC: P256 },
    { ...template, sign: true, private: true, sensitive: true },
  );
  signAndVerify(session, pair.privateKey, publicKey(pair.publicKey));
  assert.throws(() => pair.privateKey.getAttribute({ value: null }), /CKR_ATTRIBUTE_SENSITIVE/);
  pair.privateKey.destroy();
  assert.strictEqual(session.find({ class: graphene.ObjectClass.PRIVATE_KEY, label: "made by node" }).length, 0);
}

function agree(session, privateKey, nodeKey) {
  const mine = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const point = mine.publicKey.export({ format: "der", type: "spki" }).subarray(-65);
  const derived = session.deriveKey(
    { name: "ECDH1_DERIVE", params: new graphene.EcdhParams(graphene.EcKdf.NULL, null, point) },
    privateKey,
    {
      class: graphene.ObjectClass.SECRET_KEY,
      keyType: graphene.KeyType.GENERIC_SECRET,
      token: false,
      sensitive: false,
      extractable: true,
      valueLen: 32,
    },
  );
  const expected = crypto.diffieHellman({ privateKey: mine.privateKey, publicKey: nodeKey });
  assert(derived.getAttribute({ value: null }).value.equals(expected));
}

const module_ = graphene.Module.load(path, "atecc608");
module_.initialize();
try {
  const slots = module_.getSlots(true);
  const slot = [...Array(slots.length).keys()].map((i) => slots.items(i)).find((s) => s.getToken().label === label);
  const session = slot.open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION);
  const privateKey = only(session.find({ class: graphene.ObjectClass.PRIVATE_KEY, label: keyLabel })).toType();
  const nodeKey = publicKey(only(session.find({ class: graphene.ObjectClass.PUBLIC_KEY, label: keyLabel })));
  signAndVerify(session, privateKey, nodeKey);
  agree(session, privateKey, nodeKey);
  generateAndDestroy(session);
  assert.notDeepStrictEqual(session.generateRandom(16), session.generateRandom(16));
  const digest = session.createDigest("sha256").once(Buffer.from("abc"));
  assert.strictEqual(digest.toString("hex"), crypto.createHash("sha256").update("abc").digest("hex"));
  session.close();
} finally {
  module_.finalize();
}
console.log("graphene-pk11: done");
