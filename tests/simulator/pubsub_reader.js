'use strict';

// Reads a topic of the Pub/Sub API with libraries of another make and Salesforce's own proto, from
// the earliest event on, and prints each event as a line of JSON. node pubsub_reader.js
// '{"endpoint", "metadata", "topic", "count"}'

const path = require('path');
const avro = require('avsc');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const options = JSON.parse(process.argv[2]);
const proto = path.join(
    path.dirname(require.resolve('salesforce-pubsub-api-client')), '..', 'pubsub_api.proto');
const { PubSub } = grpc.loadPackageDefinition(protoLoader.loadSync(proto)).eventbus.v1;
const client = new PubSub(options.endpoint, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
for (const [name, value] of Object.entries(options.metadata)) metadata.set(name, value);

// JavaScript's numbers end at 2^53, commit numbers do not.
const long = avro.types.LongType.__with({
    fromBuffer: buffer => buffer.readBigInt64LE(),
    toBuffer: value => { const buffer = Buffer.alloc(8); buffer.writeBigInt64LE(value); return buffer; },
    fromJSON: BigInt,
    toJSON: String,
    isValid: value => typeof value === 'bigint',
    compare: (one, other) => (one < other ? -1 : Number(one > other)),
});
const asJson = (key, value) => {
    if (typeof value !== 'bigint') return value;
    return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
};

const types = new Map();
function typeOf(schemaId) {
    if (!types.has(schemaId)) {
        types.set(schemaId, new Promise((resolve, reject) => client.GetSchema(
            { schemaId }, metadata,
            (error, info) => error ? reject(error) : resolve(avro.parse(info.schemaJson, { registry: { long } })))));
    }
    return types.get(schemaId);
}

async function print({ event, replayId }) {
    const payload = (await typeOf(event.schemaId)).fromBuffer(event.payload);
    console.log(JSON.stringify({ replayId: replayId.toString('hex'), id: event.id, payload }, asJson));
}

let left = options.count;
let printed = Promise.resolve();
const stream = client.Subscribe(metadata);
stream.on('data', ({ events }) => {
    left -= events.length;
    for (const event of events) printed = printed.then(() => print(event));
    if (left > 0) stream.write({ numRequested: Math.min(left, 3) });
    else printed.then(() => client.close() || stream.cancel());
});
stream.on('error', error => {
    if (error.code !== grpc.status.CANCELLED) throw error;
});
stream.write({ topicName: options.topic, replayPreset: 'EARLIEST', numRequested: Math.min(left, 3) });
