'use strict';

// What jsforce does with records: read, write, one and many, by id and by external id.

const jsforce = require('jsforce');
const { run } = require('./program');

run(async options => {
    const conn = new jsforce.Connection({ loginUrl: options.url, version: '64.0' });
    await conn.login(options.username, options.password);
    const accounts = conn.sobject('Account');
    const started = new Date(Date.now() - 60_000);
    const found = {};

    const made = await accounts.create({ Name: 'Acme', BillingCity: 'Kyoto' });
    await accounts.update({ Id: made.id, Phone: '1' });
    found.read = await accounts.retrieve(made.id);
    found.query = await conn.query(`SELECT Id, Name, Phone FROM Account WHERE Id = '${made.id}'`);
    found.find = await accounts.find({ Name: 'Acme', Id: made.id }, ['Id', 'Name']).limit(1);

    const upsert = record => accounts.upsert(record, 'External_Id__c');
    found.upserts = [
        await upsert({ Name: 'Upserted', External_Id__c: 'jsforce 1' }),
        await upsert({ Phone: '2', External_Id__c: 'jsforce 1' }),
        ...await upsert([
            { Name: 'One', External_Id__c: 'jsforce 1' },
            { Name: 'Two', External_Id__c: 'jsforce 2' },
        ]),
    ];

    const many = await accounts.create([{ Name: 'A' }, { Name: 'B' }, { Phone: 'no name' }]);
    const ids = many.filter(one => one.success).map(one => one.id);
    found.created = many;
    found.retrieved = await accounts.retrieve(ids, { fields: ['Name'] });
    found.updated = await accounts.update(ids.map(Id => ({ Id, Industry: 'Energy' })));
    found.destroyed = await accounts.destroy(ids);
    found.allOrNone = await accounts
        .create([{ Name: 'A' }, { Phone: 'no name' }], { allOrNone: true })
        .catch(error => [{ thrown: error.errorCode || error.message }]);

    const until = new Date(Date.now() + 120_000);
    found.updatedIds = (await conn.sobject('Account').updated(started, until)).ids;
    found.deletedIds = (await conn.sobject('Account').deleted(started, until))
        .deletedRecords.map(one => one.id);

    found.objects = (await conn.describeGlobal()).sobjects.map(one => one.name);
    found.fields = (await accounts.describe()).fields.map(one => one.name);
    found.limits = await conn.limits();
    found.recent = await accounts.recent();
    found.channels = await conn.tooling.query('SELECT Id FROM PlatformEventChannelMember');
    found.composite = await conn.request({
        method: 'POST',
        url: '/composite',
        body: JSON.stringify({
            compositeRequest: [
                { method: 'POST', url: '/services/data/v64.0/sobjects/Account', referenceId: 'a',
                    body: { Name: 'Parent' } },
                { method: 'POST', url: '/services/data/v64.0/sobjects/Contact', referenceId: 'c',
                    body: { LastName: 'Child', AccountId: '@{a.id}' } },
            ],
        }),
        headers: { 'Content-Type': 'application/json' },
    });
    await accounts.destroy(made.id);
    found.missing = await accounts.retrieve(made.id).catch(error => error.errorCode);
    found.unknown = await conn.request('/nothing').catch(error => error.errorCode);
    return found;
});
