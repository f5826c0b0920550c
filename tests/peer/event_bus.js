'use strict';

// What the Pub/Sub API says of change events: topics, replay ids, what is retained; and refusals.

const crypto = require('crypto');
const { Metadata, status } = require('@grpc/grpc-js');

const ALL = '/data/ChangeEvents';
const CODES = 'sfdc.platform.eventbus.grpc.';
const PRESETS = ['LATEST', 'EARLIEST', 'CUSTOM'];

// With a code it is Salesforce's own, without one the network's.
function refusal(name, code, words) {
    const metadata = new Metadata();
    const rpcId = crypto.randomUUID();
    if (code) {
        metadata.set('error-code', CODES + code);
        metadata.set('rpc-id', rpcId);
    }
    const details = code ? `${words} rpcId: ${rpcId}` : words;
    return Object.assign(new Error(details), { code: status[name], details, metadata });
}

function topicOf(entity) {
    return `/data/${entity.replace(/__c$/, '__')}ChangeEvent`;
}

// Ten bytes: a number, big-endian, and two zero bytes.
function replayIdOf(number) {
    const bytes = Buffer.alloc(10);
    bytes.writeBigUInt64BE(BigInt(number));
    return bytes;
}

class EventBus {
    constructor(schemas) {
        this._schemas = schemas;
        this._events = [];
        this._number = 52478913;
        this._known = new Set([this._number]);
    }

    // `entity` with a `payload`, or with the bytes and the schema that are to travel in its place.
    publish({ entity, payload, bytes, schemaId }) {
        this._number += 1 + (this._number % 7);
        const schema = this._schemas.newest(entity);
        const event = {
            id: crypto.randomUUID(),
            schema_id: schemaId || schema.id,
            payload: bytes === undefined ? schema.encode(payload) : Buffer.from(bytes, 'base64'),
        };
        this._known.add(this._number);
        this._events.push({
            topics: [ALL, topicOf(entity)],
            number: this._number,
            consumerEvent: { event, replay_id: replayIdOf(this._number) },
        });
        return replayIdOf(this._number).toString('hex');
    }

    // What was retained has aged out.
    forget() {
        this._events = [];
        this._known.clear();
    }

    has(topic) {
        return topic === ALL || this._schemas.entities.map(topicOf).includes(topic);
    }

    // A subscriber may begin there: there was nothing more up to it.
    get latest() {
        this._known.add(this._number);
        return replayIdOf(this._number);
    }

    // The number after which to begin.
    start({ replay_preset: preset, replay_id: replayId }) {
        switch (PRESETS.indexOf(preset)) {
            case 0:
                return this._number;
            case 1:
                return 0;
            default:
                return this.numberOf(replayId);
        }
    }

    numberOf(replayId) {
        if (replayId.length !== 10 || replayId.readUInt16BE(8) !== 0) {
            throw refusal('INVALID_ARGUMENT', 'subscription.fetch.replayid.corrupted',
                'The Replay ID is corrupted. Ensure that the Replay ID is not changed.');
        }
        const number = Number(replayId.readBigUInt64BE());
        if (!this._known.has(number)) {
            throw refusal('INVALID_ARGUMENT', 'subscription.fetch.replayid.validation.failed',
                'The Replay ID validation failed. Ensure that the Replay ID is valid.');
        }
        return number;
    }

    after(number, topic, limit) {
        const found = [];
        for (const event of this._events) {
            if (found.length === limit) {
                break;
            }
            if (event.number > number && event.topics.includes(topic)) {
                found.push(event);
            }
        }
        return found;
    }
}

module.exports = { EventBus, refusal };
