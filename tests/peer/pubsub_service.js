'use strict';

// Salesforce's Pub/Sub API on gRPC of another make, after the official proto.

const crypto = require('crypto');
const net = require('net');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const { EventBus, refusal } = require('./event_bus');
const { Subscription } = require('./subscription');
const { ORG } = require('./logins');

// Salesforce's own, as the client beside it carries it.
const PROTO = path.join(
    path.dirname(require.resolve('salesforce-pubsub-api-client')), '..', 'pubsub_api.proto');

const FAILURES = {
    unavailable: refusal.bind(null, 'UNAVAILABLE', 'service.unavailable',
        'The service is unavailable.'),
    quota: refusal.bind(null, 'RESOURCE_EXHAUSTED', 'subscription.limit.exceeded',
        'The event delivery limit for this org is exceeded.'),
    protection: refusal.bind(null, 'RESOURCE_EXHAUSTED', 'service.protection.triggered',
        'Too many requests. The service protection was triggered.'),
    unauthorized: refusal.bind(null, 'UNAUTHENTICATED', 'service.auth.error',
        'The authentication failed. Ensure that the access token is valid.'),
    network: refusal.bind(null, 'UNAVAILABLE', '', 'upstream connect error or disconnect'),
};

class PubSubService {
    constructor({ keepAlive, subscriptions }, schemas, logins, faults) {
        this.log = { calls: [], delivered: 0 };
        this._keepAlive = keepAlive;
        this._schemas = schemas;
        this._logins = logins;
        this._faults = faults;
        this._bus = new EventBus(schemas);
        this._running = new Set();
        this._sockets = new Set();
        this._stalled = new Set();
        this._managed = new Map(Object.entries(subscriptions)
            .map(([name, topic]) => [name, { topic, position: 0, commits: [] }]));
    }

    // Every connection is this process's own, so that it can be cut.
    listen(instance, announce) {
        this._instance = instance;
        const server = new grpc.Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
        const definition = protoLoader.loadSync(
            PROTO, { keepCase: true, enums: String, defaults: true });
        const { PubSub } = grpc.loadPackageDefinition(definition).eventbus.v1;
        server.addService(PubSub.service, {
            GetTopic: (call, answer) => this._unary('GetTopic', call, answer, this._topic),
            GetSchema: (call, answer) => this._unary('GetSchema', call, answer, this._schema),
            Subscribe: call => this._stream('Subscribe', call, this._subscribe),
            ManagedSubscribe: call => this._stream('ManagedSubscribe', call, this._manage),
        });
        const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
        const listening = net.createServer(socket => {
            this._sockets.add(socket);
            socket.on('close', () => this._sockets.delete(socket));
            injector.injectConnection(socket);
        });
        listening.listen(0, '127.0.0.1', () => announce(listening.address().port));
    }

    publish(events) {
        const replayIds = events.map(event => this._bus.publish(event));
        this._running.forEach(subscription => subscription.deliver());
        return replayIds;
    }

    forget() {
        this._bus.forget();
    }

    state() {
        const running = [...this._running];
        const commits = [...this._managed].map(([name, { commits: all }]) => [name, all]);
        return {
            ...this.log,
            connections: this._sockets.size,
            held: running.filter(({ topic, credits, peer }) =>
                topic && credits && !this._stalled.has(peer)).length,
            commits: Object.fromEntries(commits),
        };
    }

    // Faults to what is running now.

    end(kind) {
        const running = [...this._running];
        running.forEach(one => (kind === 'reset' ? one.reset() : one.fail(FAILURES[kind]())));
        running.forEach(() => this._faults.count(kind));
    }

    cut() {
        const open = [...this._sockets];
        open.forEach(socket => socket.resetAndDestroy());
        open.forEach(() => this._faults.count('cut'));
    }

    // The connections stay, and nothing comes over them any more.
    stall() {
        this._sockets.forEach(socket => this._stalled.add(addressOf(socket)));
    }

    _unary(method, call, answer, act) {
        if (this._stalled.has(call.getPeer())) {
            this._faults.count('unanswered');
            return;
        }
        try {
            this._admit(method, call);
            answer(null, { ...act.call(this, call.request), rpc_id: crypto.randomUUID() });
        } catch (error) {
            this._refuse(error, answer);
        }
    }

    _topic({ topic_name: topic }) {
        this._checkTopic(topic);
        return {
            topic_name: topic, tenant_guid: `core/prod/${ORG}`,
            can_publish: false, can_subscribe: true, schema_id: '',
        };
    }

    _schema({ schema_id: id }) {
        const schema = this._schemas.withId(id);
        if (!schema) {
            throw refusal('INVALID_ARGUMENT', 'schema.validation.failed',
                `The schema ID ${id} is not valid.`);
        }
        return { schema_id: id, schema_json: schema.json };
    }

    _stream(method, call, act) {
        const peer = call.getPeer();
        const subscription = new Subscription(call, this._bus, {
            keepAlive: this._keepAlive,
            onDelivery: count => { this.log.delivered += count; },
            isStalled: () => this._stalled.has(peer),
            onEnd: one => this._running.delete(one),
        });
        subscription.peer = peer;
        this._running.add(subscription);
        call.on('data', request => {
            try {
                if (!subscription.isOver && !this._stalled.has(peer)) {
                    act.call(this, method, call, subscription, request);
                }
            } catch (error) {
                this._refuse(error, refused => subscription.fail(refused));
            }
        });
    }

    _subscribe(method, call, subscription, request) {
        const { topic_name: topic, replay_preset: preset, replay_id: replayId } = request;
        if (subscription.topic === null) {
            this._admit(method, call, { topic, preset, replay_id: replayId.toString('hex') });
            this._checkTopic(topic);
            subscription.begin(topic, this._bus.start(request));
            call.sendMetadata(new grpc.Metadata());
        } else if (topic && topic !== subscription.topic) {
            throw refusal('INVALID_ARGUMENT', 'subscription.fetch.topic.mismatch',
                'The topic cannot change within a subscription.');
        } else if (replayId.length) {
            throw refusal('INVALID_ARGUMENT', 'subscription.fetch.replay.repeated',
                'The Replay ID can only be given in the first request.');
        }
        subscription.request(request.num_requested);
    }

    _manage(method, call, subscription, request) {
        const { developer_name: name, commit_replay_id_request: commit } = request;
        if (subscription.managed === null) {
            this._admit(method, call, { name });
            const managed = this._managed.get(name);
            if (!managed) {
                throw refusal('NOT_FOUND', 'managed.subscription.developer.name.not.found',
                    `No managed subscription has the developer name ${name}.`);
            }
            if ([...this._running].some(one => one.managed === managed)) {
                throw refusal('ALREADY_EXISTS', 'managed.subscription.already.active',
                    'The managed subscription is already active.');
            }
            subscription.begin(managed.topic, managed.position, managed);
            call.sendMetadata(new grpc.Metadata());
        }
        if (commit) {
            subscription.commit(commit);
        }
        if (request.num_requested || !commit) {
            subscription.request(request.num_requested);
        }
    }

    _admit(method, { metadata }, more = {}) {
        const [token, instance, tenant] = ['accesstoken', 'instanceurl', 'tenantid']
            .map(name => metadata.get(name)[0]);
        const entry = { method, ...more, admitted: false };
        this.log.calls.push(entry);
        if (!token || !tenant || !/^https?:\/\//.test(instance || '')) {
            throw refusal('INVALID_ARGUMENT', 'service.auth.headers.invalid',
                'accesstoken, instanceurl and tenantid must be given.');
        }
        if (!this._logins.knows(token) || instance !== this._instance || tenant !== ORG) {
            this._faults.count('unauthorized');
            throw FAILURES.unauthorized();
        }
        const kind = Object.keys(FAILURES).find(one => this._faults.take(`${one}-${method}`));
        if (kind) {
            throw FAILURES[kind]();
        }
        entry.admitted = true;
    }

    _checkTopic(topic) {
        if (!this._bus.has(topic)) {
            throw refusal('NOT_FOUND', 'topic.not.found',
                `The topic ${topic} does not exist or is not available to this user.`);
        }
    }

    _refuse(error, answer) {
        if (error.metadata) {
            answer(error);
        } else {
            process.stderr.write(`${error.stack}\n`);
            answer(refusal('INTERNAL', '', `${error}`));
        }
    }
}

function addressOf(socket) {
    return `${socket.remoteAddress}:${socket.remotePort}`;
}

module.exports = { PubSubService };
