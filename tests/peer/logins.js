'use strict';

// The token endpoint with three grants and Salesforce's own refusals.

const crypto = require('crypto');

const ORG = '00D5f000005mc66EAA';
const USER = '0055f000005mc66AAA';

class Refused extends Error {
    constructor(error, description) {
        super(error);
        this.body = { error, error_description: description };
    }
}

class Logins {
    constructor({ credentials, rotate }) {
        this.log = [];
        this.refusal = 'bayeux';
        this._credentials = credentials;
        this._refreshToken = credentials.refresh_token;
        this._rotate = rotate;
        this._tokens = new Set();
    }

    knows(authorization) {
        return this._tokens.has((authorization || '').replace(/^Bearer /, ''));
    }

    // `refusal` says how a revoked token is refused: by 'bayeux' messages or by 'http' status.
    revoke(refusal) {
        this.refusal = refusal;
        this._tokens.clear();
    }

    answer(body, authorization, host) {
        const form = Object.fromEntries(new URLSearchParams(body));
        const entry = { grant_type: form.grant_type || null, granted: false };
        this.log.push(entry);
        try {
            this._checkClient(form, authorization);
            const more = this._checkGrant(form);
            entry.granted = true;
            return { status: 200, body: { ...this._token(host), ...more } };
        } catch (refused) {
            if (!(refused instanceof Refused)) {
                throw refused;
            }
            return { status: 400, body: refused.body };
        }
    }

    _checkClient(form, authorization) {
        const basic = /^Basic (.+)$/.exec(authorization || '');
        const [id, secret] = basic
            ? Buffer.from(basic[1], 'base64').toString('utf8').split(/:(.*)/s)
            : [form.client_id, form.client_secret];
        if (id !== this._credentials.client_id) {
            throw new Refused('invalid_client_id', 'client identifier invalid');
        }
        if (secret !== this._credentials.client_secret) {
            throw new Refused('invalid_client', 'invalid client credentials');
        }
    }

    _checkGrant(form) {
        switch (form.grant_type) {
            case 'client_credentials':
                return {};
            case 'password':
                if (form.username !== this._credentials.username ||
                    form.password !== this._credentials.password) {
                    throw new Refused('invalid_grant', 'authentication failure');
                }
                return {};
            case 'refresh_token':
                return this._refresh(form.refresh_token);
            default:
                throw new Refused('unsupported_grant_type', 'grant type not supported');
        }
    }

    _refresh(token) {
        if (token !== this._refreshToken) {
            if (this._rotate) {
                this._refreshToken = null;
                this._tokens.clear();
            }
            throw new Refused('invalid_grant', 'expired access/refresh token');
        }
        if (!this._rotate) {
            return {};
        }
        this._refreshToken = `5Aep861${crypto.randomBytes(30).toString('base64url')}`;
        return { refresh_token: this._refreshToken };
    }

    _token(host) {
        const token = `${ORG.slice(0, 15)}!AQ8AQ${crypto.randomBytes(40).toString('base64url')}`;
        this._tokens.add(token);
        return {
            access_token: token,
            signature: crypto.randomBytes(32).toString('base64'),
            scope: 'api refresh_token',
            instance_url: `http://${host}`,
            id: `http://${host}/id/${ORG}/${USER}`,
            token_type: 'Bearer',
            issued_at: String(Date.now()),
        };
    }
}

module.exports = { Logins, ORG };
