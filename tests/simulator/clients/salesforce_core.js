'use strict';

// @salesforce/core, on which Salesforce's own command line is built.

const fs = require('node:fs');
const path = require('node:path');
const { AuthInfo, Connection, Org, StreamingClient } = require('@salesforce/core');
const { run } = require('./program');

const CHANNEL = '/data/ChangeEvents';

async function facts(authInfo) {
    const connection = await Connection.create({ authInfo });
    const { Name } = await connection.singleRecordQuery('SELECT Name FROM Organization');
    const fields = authInfo.getFields();
    return {
        username: authInfo.getUsername(),
        orgId: fields.orgId,
        edition: fields.orgEdition,
        version: connection.getApiVersion(),
        isDevHub: fields.isDevHub,
        organization: Name,
    };
}

async function stream(authInfo, connection) {
    const org = await Org.create({ connection });
    let finish;
    const event = new Promise(resolve => { finish = resolve; });
    const streaming = await StreamingClient.create(new StreamingClient.DefaultOptions(
        org, CHANNEL, message => {
            if (message.payload?.Name !== 'Core') return { completed: false };
            finish(message);
            return { completed: true, payload: message };
        }));
    await streaming.handshake();
    streaming.replay(-1);
    await streaming.subscribe(async () => {
        await connection.sobject('Account').create({ Name: 'Core' });
    });
    return event;
}

run(async options => {
    const privateKey = path.join(process.env.HOME, 'server.key');
    fs.writeFileSync(privateKey, options.private_key);
    const found = {};

    const jwt = await AuthInfo.create({
        username: options.username,
        oauth2Options: { loginUrl: options.url, clientId: options.client_id, privateKey },
    });
    found.jwt = await facts(jwt);

    const refresh = await AuthInfo.create({
        oauth2Options: {
            loginUrl: options.url,
            clientId: options.client_id,
            clientSecret: options.client_secret,
            refreshToken: options.refresh_token,
        },
    });
    found.refreshToken = await facts(refresh);

    const { accessToken } = jwt.getConnectionOptions();
    const token = await AuthInfo.create({
        accessTokenOptions: { accessToken, loginUrl: options.url, instanceUrl: options.url },
    });
    found.accessToken = await facts(token);

    const connection = await Connection.create({ authInfo: jwt });
    const made = await connection.sobject('Account').create({ Name: 'From core' });
    found.record = await connection.sobject('Account').retrieve(made.id);
    const one = `SELECT FullName, Metadata FROM PlatformEventChannelMember WHERE Id = '${
        (await connection.tooling.query('SELECT Id FROM PlatformEventChannelMember')).records[0].Id}'`;
    found.member = (await connection.tooling.query(one)).records[0];
    found.event = await stream(jwt, connection);

    await connection.getAuthInfo().getConnectionOptions().refreshFn(connection, () => {});
    found.afterRefresh = (await connection.query('SELECT COUNT() FROM Account')).totalSize;
    return found;
});
