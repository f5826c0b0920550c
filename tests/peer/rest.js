'use strict';

// An org's HTTP side: logins, the control API of tests, and what else it speaks.

const http = require('http');

function reply(response, status, body) {
    response.writeHead(status, { 'Content-Type': 'application/json;charset=UTF-8' });
    response.end(body === undefined ? '' : JSON.stringify(body));
}

// `control`: name → what a POST to /_peer/name does; `other` takes what is left, or says false.
function serve(port, { control, log, logins, other = () => false }, ready) {
    function route(request, response, body) {
        const path = request.url.split('?')[0];
        const act = path.startsWith('/_peer/') && control[path.slice('/_peer/'.length)];
        if (request.method === 'GET' && path === '/_peer/log') {
            reply(response, 200, log());
        } else if (request.method === 'POST' && act) {
            reply(response, 200, act(JSON.parse(body || '{}')) || {});
        } else if (request.method === 'POST' && path === '/services/oauth2/token') {
            const answer = logins.answer(body, request.headers.authorization, request.headers.host);
            reply(response, answer.status, answer.body);
        } else if (!other(request, response, body)) {
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
    server.listen(port, '127.0.0.1', () => ready(server.address().port));
    process.stdin.resume();
    process.stdin.on('end', () => process.exit(0));
}

module.exports = { reply, serve };
