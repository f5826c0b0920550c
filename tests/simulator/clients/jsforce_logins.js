'use strict';

// Each way in that jsforce offers without a browser; what the org says about the user afterwards.

const jsforce = require('jsforce');
const jwt = require('jsonwebtoken');
const { run } = require('./program');

const JWT_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

const connect = (options, oauth2 = {}) => new jsforce.Connection({
    loginUrl: options.url,
    instanceUrl: options.url,
    oauth2: { loginUrl: options.url, clientId: options.client_id, ...oauth2 },
});

const FLOWS = {
    async soap(options) {
        const conn = new jsforce.Connection({ loginUrl: options.url });
        await conn.login(options.username, options.password);
        return conn;
    },
    async password(options) {
        const conn = connect(options, { clientSecret: options.client_secret });
        await conn.login(options.username, options.password);
        return conn;
    },
    async clientCredentials(options) {
        const conn = connect(options, { clientSecret: options.client_secret });
        await conn.authorize({ grant_type: 'client_credentials' });
        return conn;
    },
    async jwt(options) {
        const conn = connect(options);
        const assertion = jwt.sign({}, options.private_key, {
            algorithm: 'RS256', issuer: options.client_id, subject: options.username,
            audience: options.url, expiresIn: 300,
        });
        await conn.authorize({ grant_type: JWT_GRANT, assertion });
        return conn;
    },
    async refreshToken(options) {
        const conn = new jsforce.Connection({
            instanceUrl: options.url,
            accessToken: 'expired',
            refreshToken: options.refresh_token,
            oauth2: {
                loginUrl: options.url,
                clientId: options.client_id,
                clientSecret: options.client_secret,
            },
        });
        await conn.query('SELECT COUNT() FROM Account'); // 401, so that it refreshes
        return conn;
    },
};

run(async options => {
    const found = {};
    for (const [name, logIn] of Object.entries(FLOWS)) {
        const conn = await logIn(options);
        const identity = await conn.identity();
        found[name] = { username: identity.username, organizationId: identity.organization_id };
        await conn.logout();
    }
    const conn = connect(options, { clientSecret: 'wrong' });
    found.refused = await conn.login(options.username, options.password).then(
        () => 'let in', error => `${error.name}: ${error.message}`);
    return found;
});
