'use strict';

// What jsforce reads with query jobs of Bulk API 2.0, and with the description of every type.

const jsforce = require('jsforce');
const { run } = require('./program');

run(async options => {
    const conn = new jsforce.Connection({ loginUrl: options.url, version: '64.0' });
    await conn.login(options.username, options.password);
    conn.bulk2.pollInterval = 50;
    conn.bulk2.pollTimeout = 60_000;
    const found = {};

    const read = async (soql, chosen) => (await conn.bulk2.query(soql, chosen)).toArray();
    found.live = await read(options.query);
    found.every = await read(options.query, { scanAll: true });
    found.refused = await read('SELECT COUNT(Id) FROM Account').catch(error => error.message);

    const { QueryJobV2 } = require('jsforce/lib/api/bulk2');
    const pollingOptions = { pollInterval: 50, pollTimeout: 60_000 };
    const bodyParams = { query: options.query, operation: 'query', columnDelimiter: 'TAB', lineEnding: 'CRLF' };
    const job = new QueryJobV2(conn, { bodyParams, pollingOptions });
    await job.open();
    await job.poll();
    found.info = await job.check();
    await job.delete();
    found.deleted = await job.check().catch(error => error.errorCode || error.message);

    const aborted = new QueryJobV2(conn, { bodyParams, pollingOptions });
    await fetch(`${options.url}/_simulator/faults`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ kind: 'job_stuck' }),  // or it would be complete before
    });
    await aborted.open();
    found.aborted = (await aborted.abort()).state;

    const described = await conn.sobject('Field_Types__c').describe();
    found.types = [...new Set(described.fields.map(field => field.type))];
    return found;
});
