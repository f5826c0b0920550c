'use strict';

// What Salesforce's Streaming API adds to plain CometD: replay, channels of entities, its own
// words for refusals. Sessions, held connects, advice, batches and cookies are the library's.

const cometdServer = require('cometd-nodejs-server');

const ALL = '/data/ChangeEvents';
const ENTITIES = ['Account', 'Contact', 'Employee__c', 'Event'];

// An event with its payload as the text that was given: numbers keep their digits.
class ChangeEvent {
    constructor(replayId, payload) {
        this.replayId = replayId;
        this._payload = payload;
    }

    message(channel) {
        const json = `{"channel":${JSON.stringify(channel)},"data":{"schema":"c126ffd",` +
            `"payload":${this._payload},"event":{"replayId":${this.replayId}}}}`;
        // The library takes this property for the message's text, if it is there.
        return Object.defineProperty({ channel }, '_json', { value: json });
    }
}

function channelOf(entity) {
    return `/data/${entity.replace(/__c$/, '__')}ChangeEvent`;
}

const CHANNELS = new Set([ALL, ...ENTITIES.map(channelOf)]);

class Streaming {
    constructor({ timeout, maxInterval }, faults) {
        this.log = { handshakes: 0, subscribes: [], held: 0 };
        this._faults = faults;
        this._events = [];
        this._lastReplayId = 37904280;
        this._refusals = new WeakMap();
        this._requests = new WeakMap();
        this._dropped = new Set();
        this._held = new Set();
        this._sessions = new Set();
        this._server = cometdServer.createCometDServer({ timeout, maxInterval });
        this._server.policy = {
            canCreate: (session, message, name, callback) =>
                callback(undefined, this._admits(message, name)),
            canSubscribe: (session, message, channel, callback) =>
                callback(undefined, this._admits(message, channel.name)),
            canPublish: (session, message, channel, callback) => callback(undefined, false),
        };
        this._server.addListener('sessionAdded', session => this._added(session));
        this._server.addListener('subscribed', (...all) => this._subscribed(...all));
        this._server.addExtension({
            incoming: (server, session, message, callback) => {
                this._requests.set(message.reply, message);
                callback(undefined, true);
            },
            outgoing: (server, sender, session, message, callback) => {
                this._translate(session, message);
                callback(undefined, true);
            },
        });
    }

    handle(request, response, messages) {
        response.on('close', () => this._letGo(messages[0].clientId));
        request.body = messages;
        this._server.handle(request, response);
    }

    publish(events) {
        const added = events.map(({ payload, channel }) => this._add(payload, channel));
        const send = () => added.forEach(({ channels, event }) => {
            channels.forEach(name => {
                const channel = this._server.getServerChannel(name);
                if (channel) {
                    channel.publish(null, event);
                }
            });
        });
        // All of them in one answer for each session.
        [...this._sessions].reduce((inner, session) => () => session.batch(inner), send)();
        return added.map(({ event }) => event.replayId);
    }

    // Every session is forgotten, with the events that wait in it.
    drop() {
        for (const session of [...this._sessions]) {
            this._dropped.add(session.id);
            session.disconnect();
        }
    }

    // What was retained has aged out.
    forget() {
        this._events = [];
    }

    unauthorized(messages) {
        const error = '401::Authentication invalid';
        return messages.map(message => this._refused(message, error, error));
    }

    busy(messages) {
        const reason = '503::Server is too busy.  Please try your request again later.';
        return messages.map(message =>
            this._refused(message, '401::Authentication invalid', reason, true));
    }

    _refused({ channel, id, clientId }, error, failureReason, always = false) {
        const reply = { channel, id, clientId, successful: false, advice: { reconnect: 'none' } };
        const isHandshake = channel === '/meta/handshake';
        if (isHandshake || always) {
            reply.ext = { sfdc: { failureReason }, replay: true, 'payload.format': true };
        }
        reply.error = isHandshake ? '403::Handshake denied' : error;
        return reply;
    }

    _add(payload, channel) {
        this._lastReplayId += 1 + (this._lastReplayId % 7);
        const event = new ChangeEvent(this._lastReplayId, payload);
        const header = JSON.parse(payload).ChangeEventHeader;
        const own = header && header.entityName ? [channelOf(header.entityName)] : [];
        const added = { event, channels: channel ? [channel] : [ALL, ...own] };
        this._events.push(added);
        return added;
    }

    _added(session) {
        this.log.handshakes += 1;
        this._sessions.add(session);
        session.addListener('removed', () => {
            this._sessions.delete(session);
            this._letGo(session.id);
        });
        session.addListener('suspended', () => {
            this._held.add(session.id);
            this.log.held = this._held.size;
        });
        session.addListener('queueDrain', (_, queue) => {
            if (this._dropped.has(session.id)) {
                queue.splice(0);
            }
        });
        session.addExtension({
            outgoing: (sender, _, message, callback) => {
                const isEvent = message.data instanceof ChangeEvent;
                callback(undefined, isEvent ? message.data.message(message.channel) : message);
            },
        });
    }

    _letGo(id) {
        this._held.delete(id);
        this.log.held = this._held.size;
    }

    _admits(message, channel) {
        const reason = this._objection(message, channel);
        if (reason) {
            this._refusals.set(message.reply, reason);
        }
        return !reason;
    }

    _objection(message, channel) {
        if (!CHANNELS.has(channel)) {
            return `400::The channel you requested to subscribe to doesn't exist {${channel}}`;
        }
        const map = this._replayMap(message);
        if (map && !(channel in map)) {
            return `400::The replayId for channel {${channel}} wasn't found using the provided ` +
                `replay ID map {${JSON.stringify(map)}}. Ensure that the channel name you ` +
                'provided in the replay map is valid and matches the channel name used for ' +
                'subscribing.';
        }
        const from = this._replayFrom(message, channel);
        const known = from === -1 || from === -2 ||
            this._events.some(({ event }) => event.replayId === from);
        return known ? '' :
            `400::The replayId {${from}} you provided was invalid.  Please provide a valid ID, ` +
            '-2 to replay all events, or -1 to replay only new events.';
    }

    _replayMap(message) {
        return message.ext && message.ext.replay;
    }

    _replayFrom(message, channel) {
        const map = this._replayMap(message);
        return map ? map[channel] : -1;
    }

    _subscribed(channel, session, message) {
        const from = this._replayFrom(message, channel.name);
        if (from === -1) {
            return;
        }
        for (const { event, channels } of this._events) {
            if (event.replayId > from && channels.includes(channel.name)) {
                session.deliver(null, channel.name, event);
            }
        }
    }

    // The library's words, replaced with Salesforce's.
    _translate(session, reply) {
        if (session && this._dropped.has(session.id) && reply.channel === '/meta/connect') {
            reply.successful = false;
            reply.error = '402::session_unknown';
            reply.advice = { interval: 0, reconnect: 'handshake' };
        }
        if (reply.error === '402::session_unknown') {
            this._faults.count('unknown-client');
            reply.error = '403::Unknown client';
        }
        if (this._refusals.has(reply)) {
            reply.error = this._refusals.get(reply);
        }
        if (reply.channel === '/meta/handshake' && reply.successful) {
            reply.minimumVersion = '1.0';
            reply.ext = { replay: true, 'payload.format': true };
        }
        if (reply.channel === '/meta/subscribe') {
            this._noted(reply);
        }
    }

    _noted(reply) {
        const { subscription, successful, error } = reply;
        const request = this._requests.get(reply);
        const replay = request ? this._replayMap(request) : undefined;
        this.log.subscribes.push({ subscription, successful, error, replay });
    }
}

module.exports = { Streaming };
