'use strict';

// A Salesforce org on a CometD server of another make: `node peer.js '{"port": 0, …}'`.
// Prints {"port": …} on standard output and ends with standard input.

const { Faults } = require('./faults');
const { Logins } = require('./logins');
const { reply, serve } = require('./rest');
const { Streaming } = require('./streaming');

const REQUEST_LIMIT = 32768;
const COMETD = /^\/cometd\/\d\d\.0\/?$/;

const options = { port: 0, timeout: 2000, maxInterval: 15000, rotate: false, credentials: {} };
Object.assign(options, JSON.parse(process.argv[2] || '{}'));

const faults = new Faults();
const logins = new Logins(options);
const streaming = new Streaming(options, faults);

function cometd(request, response, body) {
    if (body.length > REQUEST_LIMIT) {
        reply(response, 413);
    } else if (faults.take('unavailable')) {
        reply(response, 503);
    } else if (!logins.knows(request.headers.authorization)) {
        faults.count('unauthorized');
        if (logins.refusal === 'http') {
            const message = 'Session expired or invalid';
            reply(response, 401, [{ message, errorCode: 'INVALID_SESSION_ID' }]);
        } else {
            reply(response, 200, streaming.unauthorized(JSON.parse(body)));
        }
    } else if (faults.take('busy')) {
        reply(response, 200, streaming.busy(JSON.parse(body)));
    } else {
        faults.watch(response);
        streaming.handle(request, response, JSON.parse(body));
    }
}

const control = {
    publish: ({ events }) => ({ replay_ids: streaming.publish(events) }),
    revoke: ({ refusal }) => logins.revoke(refusal),
    drop: () => streaming.drop(),
    forget: () => streaming.forget(),
    fault: ({ kind, times }) => faults.set(kind, times),
    hangup: () => ({ hung_up: faults.hangUp() }),
};

function log() {
    return { ...streaming.log, logins: logins.log, happened: faults.happened };
}

function other(request, response, body) {
    const isCometd = request.method === 'POST' && COMETD.test(request.url.split('?')[0]);
    if (isCometd) {
        cometd(request, response, body);
    }
    return isCometd;
}

serve(options.port, { control, log, logins, other }, port => {
    process.stdout.write(`${JSON.stringify({ port })}\n`);
});
