'use strict';

// A Salesforce org on gRPC and Avro of another make: `node pubsub_peer.js '{"port": 0, …}'`.
// Prints {"port": …, "grpc_port": …} on standard output and ends with standard input.

const { ChangeSchemas } = require('./change_schemas');
const { Faults } = require('./faults');
const { Logins } = require('./logins');
const { PubSubService } = require('./pubsub_service');
const { serve } = require('./rest');

const options = { port: 0, keepAlive: 270000, rotate: false, credentials: {}, subscriptions: {} };
Object.assign(options, JSON.parse(process.argv[2] || '{}'));

const faults = new Faults();
const logins = new Logins(options);
const schemas = new ChangeSchemas();
const service = new PubSubService(options, schemas, logins, faults);

const control = {
    schema: ({ entity, definition }) => ({ schema_id: schemas.define(entity, definition) }),
    publish: ({ events }) => ({ replay_ids: service.publish(events) }),
    revoke: () => { logins.revoke(); service.end('unauthorized'); },
    forget: () => service.forget(),
    fault: ({ kind, times }) => faults.set(kind, times),
    end: ({ kind }) => service.end(kind),
    cut: () => service.cut(),
    stall: () => service.stall(),
};

function log() {
    return { ...service.state(), logins: logins.log, happened: faults.happened };
}

serve(options.port, { control, log, logins }, port => {
    service.listen(`http://127.0.0.1:${port}`, grpcPort => {
        process.stdout.write(`${JSON.stringify({ port, grpc_port: grpcPort })}\n`);
    });
});
