'use strict';

// A Salesforce org on a CometD server of another make: `node peer.js '{"port": 0, …}'`.
// Prints {"port": …} on standard output and ends with standard input.

const http = require('http');
const { Faults } = require('./faults');
const { Logins } = require('./logins');
const { Streaming } = require('./streaming');

const REQUEST_LIMIT = 32768;
const COMETD = /^\/cometd\/\d\d\.0\/?$/;

const options = { port: 0, timeout: 2000, maxInterval: 15000, rotate: false, credentials: {} };
Object.assign(options, JSON.parse(process.argv[2] || '{}'));

const faults = new Faults();
const logins = new Logins(options);
const streaming = new Streaming(options, faults);

function reply(response, status, body) {
    response.writeHead(status, { 'Content-Type': 'application/json;charset=UTF-8' });
    response.end(body === undefined ? '' : JSON.stringify(body));
}

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
    '/_peer/publish': ({ events }) => ({ replay_ids: streaming.publish(events) }),
    '/_peer/revoke': ({ refusal }) => logins.revoke(refusal),
    '/_peer/drop': () => streaming.drop(),
    '/_peer/forget': () => streaming.forget(),
    '/_peer/fault': ({ kind, times }) => faults.set(kind, times),
    '/_peer/hangup': () => ({ hung_up: faults.hangUp() }),
};

function log() {
    return { ...streaming.log, logins: logins.log, happened: faults.happened };
}

function route(request, response, body) {
    const path = request.url.split('?')[0];
    const act = control[path];
    if (request.method === 'GET' && path === '/_peer/log') {
        reply(response, 200, log());
    } else if (request.method === 'POST' && act) {
        reply(response, 200, act(JSON.parse(body || '{}')) || {});
    } else if (request.method === 'POST' && path === '/services/oauth2/token') {
        const answer = logins.answer(body, request.headers.authorization, request.headers.host);
        reply(response, answer.status, answer.body);
    } else if (request.method === 'POST' && COMETD.test(path)) {
        cometd(request, response, body);
    } else {
        reply(response, 404, [{ message: 'not found', errorCode: 'NOT_FOUND' }]);
    }
}

const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
        try {
            route(request, response, Buffer.concat(chunks).toString('utf8'));
        } catch (error) {
            process.stderr.write(`${error.stack}\n`);
            response.headersSent ? response.destroy() : reply(response, 500, `${error}`);
        }
    });
});
server.keepAliveTimeout = 60000;
server.listen(options.port, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
