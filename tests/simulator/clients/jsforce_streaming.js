'use strict';

// Change events by jsforce's CometD client (Faye): from now on, and once more from the earliest.

const jsforce = require('jsforce');
const { StreamingExtension } = require('jsforce/lib/api/streaming');
const { run } = require('./program');

const CHANNEL = '/data/ChangeEvents';
const { Replay, AuthFailure } = StreamingExtension;

function events(client, count, name) {
    return new Promise((resolve, reject) => {
        const found = [];
        const subscription = client.subscribe(CHANNEL, event => {
            if (event.payload.Name !== name && !found.length) return;
            found.push(event);
            if (found.length === count) resolve(found);
        });
        subscription.then(null, reject);
    });
}

run(async options => {
    const conn = new jsforce.Connection({ loginUrl: options.url, version: '64.0' });
    await conn.login(options.username, options.password);
    const refused = new AuthFailure(() => { throw new Error('the token was refused'); });
    const live = conn.streaming.createClient([new Replay(CHANNEL, -1), refused]);
    const received = events(live, 2, 'Streamed');
    await new Promise(resolve => live.subscribe(CHANNEL, () => {}).then(resolve));
    const { id } = await conn.sobject('Account').create({ Name: 'Streamed' });
    await conn.sobject('Account').update({ Id: id, Phone: null, Industry: 'Energy' });
    const now = await received;
    live.disconnect();

    const again = conn.streaming.createClient([new Replay(CHANNEL, -2), refused]);
    const replayed = await events(again, 2, 'Streamed');
    again.disconnect();
    return { id, now, replayed };
});
