// salesforce-pubsub-api-client: events by each of its logins, and a managed subscription.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
const { options, run } = require('./program');
const { default: PubSubApiClient } = await import(
    pathToFileURL(require.resolve('salesforce-pubsub-api-client').replace(/\.cjs$/, '.js')));

const silent = Object.fromEntries(['debug', 'info', 'warn', 'error'].map(name => [name, () => {}]));
const LOGINS = {
    'username-password': { username: options.username, password: options.password },
    'oauth-client-credentials': {
        clientId: options.client_id, clientSecret: options.client_secret,
    },
    'oauth-jwt-bearer': {
        clientId: options.client_id, username: options.username, privateKey: options.private_key,
    },
};

async function connect(authType) {
    const client = new PubSubApiClient({
        authType,
        loginUrl: options.url,
        pubSubEndpoint: options.grpc_endpoint,
        rejectUnauthorizedSsl: false,
        ...LOGINS[authType],
    }, silent);
    await client.connect();
    return client;
}

// The first events that a subscription brings, and what else it tells until then.
function received(count, subscribe) {
    return new Promise((resolve, reject) => {
        const events = [];
        const callback = (info, type, data) => {
            if (type === 'error') reject(data);
            if (type !== 'event') return;
            events.push(data);
            if (events.length === count) resolve({ info: { ...info }, events });
        };
        Promise.resolve(subscribe(callback)).catch(reject);
    });
}

// Until the org says so of its managed subscription; the test's time limit ends a wait in vain.
async function until(holds) {
    for (;;) {
        const state = await (await fetch(`${options.url}/_simulator/state?events=0&records=0`)).json();
        const [subscription] = state.pubsub.managed_subscriptions;
        if (holds(subscription)) return;
        await new Promise(resolve => setTimeout(resolve, 20));
    }
}

async function subscribe() {
    const found = { logins: {} };
    for (const authType of Object.keys(LOGINS)) {
        const client = await connect(authType);
        found.logins[authType] = (await received(options.count, callback =>
            client.subscribeFromEarliestEvent('/data/ChangeEvents', callback, options.count)
        )).events;
        client.close();
    }

    const first = found.logins['oauth-jwt-bearer'][0];
    let client = await connect('oauth-client-credentials');
    found.afterFirst = (await received(options.count - 1, callback =>
        client.subscribeFromReplayId('/data/ChangeEvents', callback, options.count - 1, first.replayId)
    )).events.map(event => event.replayId);
    client.close();

    client = await connect('oauth-client-credentials');
    const managed = await received(2, callback =>
        client.subscribeWithManagedSubscription(options.subscription, callback, 2));
    const { subscriptionId } = managed.info;
    const committed = managed.events[0].replayId;
    found.commitRequestId = client.commitReplayId(subscriptionId, committed);
    found.managed = { info: managed.info, replayIds: managed.events.map(event => event.replayId) };
    found.committed = committed;
    await until(subscription => subscription.committed === committed);
    client.close();
    return found;
}

// Another process goes on behind what was committed: this one's streams last as long as it does.
async function resume() {
    const client = await connect('oauth-client-credentials');
    const { events } = await received(1, callback =>
        client.subscribeWithManagedSubscription(options.subscription, callback, 1));
    return events[0].replayId;
}

run(() => (options.resume ? resume() : subscribe()));
