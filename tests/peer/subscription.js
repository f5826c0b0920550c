'use strict';

// One running Subscribe or ManagedSubscribe: credits, events within them, signs of life, commits.

const crypto = require('crypto');
const { refusal } = require('./event_bus');

const MOST_OUTSTANDING = 100;
const CREDITLESS = 60000;

class Subscription {
    constructor(call, bus, { keepAlive, onDelivery, isStalled, onEnd }) {
        this.topic = null;
        this.managed = null;
        this.credits = 0;
        this._call = call;
        this._bus = bus;
        this._keepAlive = keepAlive;
        this._onDelivery = onDelivery;
        this._isStalled = isStalled;
        this._onEnd = onEnd;
        this._commits = [];
        this.isOver = false;
        call.on('end', () => this._over() && call.end());
        call.on('cancelled', () => this._over());
        call.on('error', () => this._over());
    }

    // `managed` is the subscription that the org keeps, with its position.
    begin(topic, number, managed = null) {
        Object.assign(this, { topic, managed, _number: number });
    }

    // Throws a refusal.
    request(credits) {
        if (!(credits > 0)) {
            throw refusal('INVALID_ARGUMENT', 'subscription.fetch.requested.events.invalid',
                'The number of requested events must be greater than 0.');
        }
        if (this.credits + credits > MOST_OUTSTANDING) {
            throw refusal('INVALID_ARGUMENT', 'subscription.fetch.overflow',
                'The number of outstanding requested events is over the limit.');
        }
        this.credits += credits;
        this.deliver();
    }

    deliver() {
        clearTimeout(this._timer);
        if (this.isOver || this._isStalled()) {
            return;
        }
        const events = this._bus.after(this._number, this.topic, this.credits);
        if (events.length) {
            this._number = events[events.length - 1].number;
            this.credits -= events.length;
            this._respond(events.map(event => event.consumerEvent));
        }
        this._timer = this.credits
            ? setTimeout(() => this._signOfLife(), this._keepAlive)
            : setTimeout(() => this._over() && this._call.end(), CREDITLESS);
    }

    // Several requests to commit may be answered by the last one's answer.
    commit({ commit_request_id: id, replay_id: replayId }) {
        this._commits.push({ id, replayId });
        if (this._commits.length === 1) {
            setImmediate(() => this._commitAll());
        }
    }

    fail(error) {
        if (this._over()) {
            this._call.emit('error', error);
        }
    }

    // Between the two machines: no status, no trailers.
    reset() {
        if (this._over()) {
            this._call.call.stream.close(0);
        }
    }

    _commitAll() {
        const { id, replayId } = this._commits.pop();
        this._commits = [];
        const answer = { commit_request_id: id, replay_id: replayId, process_time: Date.now() };
        try {
            this.managed.position = this._bus.numberOf(replayId);
            this.managed.commits.push(replayId.toString('hex'));
        } catch (error) {
            answer.error = { code: 'COMMIT', msg: error.details };
        }
        this._respond([], answer);
    }

    _signOfLife() {
        if (!this._isStalled()) {
            this._respond([]);
            this.deliver();
        }
    }

    _respond(events, commit) {
        if (this.isOver) {
            return;
        }
        this._onDelivery(events.length);
        this._call.write({
            events,
            latest_replay_id: events.length
                ? events[events.length - 1].replay_id : this._bus.latest,
            rpc_id: crypto.randomUUID(),
            pending_num_requested: this.credits,
            ...(commit ? { commit_response: commit } : {}),
        });
    }

    _over() {
        if (this.isOver) {
            return false;
        }
        this.isOver = true;
        clearTimeout(this._timer);
        this._onEnd(this);
        return true;
    }
}

module.exports = { Subscription };
