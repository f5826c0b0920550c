'use strict';

// Change events in Avro: schemas with an id for each version, payloads, fields named by bitmaps.

const avro = require('avsc');
const crypto = require('crypto');

const DAY = 86400000;

// Longs keep all their digits.
const long = avro.types.LongType.__with({
    fromBuffer: buffer => buffer.readBigInt64LE(),
    toBuffer: number => {
        const buffer = Buffer.alloc(8);
        buffer.writeBigInt64LE(number);
        return buffer;
    },
    fromJSON: BigInt,
    toJSON: String,
    isValid: value => typeof value === 'bigint',
    compare: (one, other) => (one < other ? -1 : Number(one > other)),
});

class ChangeSchema {
    constructor(definition) {
        this.json = JSON.stringify(definition);
        this.id = crypto.createHash('md5').update(this.json).digest('base64url');
        this._docs = new Map(definition.fields.map(({ name, doc }) => [name, doc || '']));
        this._type = avro.Type.forSchema(definition, { registry: { long }, wrapUnions: true });
    }

    // `payload` is as the Streaming API shows it; the lists in its header name fields.
    encode({ ChangeEventHeader: header, ...fields }) {
        const known = new Set(this._type.fields.map(field => field.name));
        const unknown = Object.keys(fields).filter(name => !known.has(name));
        if (unknown.length) {
            throw new Error(`no such field in ${this._type.name}: ${unknown}`);
        }
        const bitmaps = Object.fromEntries(['nulledFields', 'diffFields', 'changedFields']
            .map(list => [list, this._bitmaps(header[list] || [])]));
        return this._type.toBuffer(
            this._value(this._type, { ...fields, ChangeEventHeader: { ...header, ...bitmaps } }));
    }

    _value(type, value, doc = '') {
        if (type.typeName.startsWith('union:')) {
            return this._ofUnion(type, value, doc);
        }
        switch (type.typeName) {
            case 'record':
                return Object.fromEntries(type.fields.map(({ name, type: own }) =>
                    [name, this._value(own, value[name], this._docs.get(name))]));
            case 'abstract:long':
            case 'long':
                return typeof value === 'string' ? wholeNumber(value, doc) : BigInt(value);
            default:
                return value;
        }
    }

    _ofUnion(type, value, doc) {
        if (value === undefined || value === null) {
            return null;
        }
        // A large text's difference travels as the text alone.
        const given = typeof value === 'object' && 'diff' in value ? value.diff : value;
        const branch = type.types.find(({ typeName }) => typeName !== 'null' &&
            (typeName === 'record') === (typeof given === 'object'));
        return { [branch.branchName]: this._value(branch, given, doc) };
    }

    _bitmaps(names) {
        const own = names.filter(name => !name.includes('.'));
        const children = new Map();
        for (const name of names.filter(one => one.includes('.'))) {
            const [parent, child] = name.split('.');
            children.set(parent, [...(children.get(parent) || []), child]);
        }
        const elements = own.length ? [bitmap(this._type, own)] : [];
        for (const [parent, ofIt] of children) {
            const position = this._type.fields.findIndex(field => field.name === parent);
            const record = this._type.fields[position].type.types
                .find(({ typeName }) => typeName === 'record');
            elements.push(`${position}-${bitmap(record, ofIt)}`);
        }
        return elements;
    }
}

// Bit i, least significant first, is field i.
function bitmap(record, names) {
    const positions = names.map(name => record.fields.findIndex(field => field.name === name));
    if (positions.includes(-1)) {
        throw new Error(`no such field in ${record.name}: ${names}`);
    }
    const hex = positions.reduce((bits, at) => bits | (1n << BigInt(at)), 0n).toString(16);
    return `0x${hex.padStart(hex.length + (hex.length % 2), '0').toUpperCase()}`;
}

function wholeNumber(text, doc) {
    if (/:(DateOnly|Birthday)\b/.test(doc)) {
        return BigInt(Date.parse(`${text}T00:00:00.000Z`));
    }
    if (/:TimeOnly\b/.test(doc)) {
        return BigInt(Date.parse(`1970-01-01T${text}`) % DAY);
    }
    return /:DateTime\b/.test(doc) ? BigInt(Date.parse(text)) : BigInt(text);
}

// The newest schema of each entity, and every one there ever was.
class ChangeSchemas {
    constructor() {
        this._byId = new Map();
        this._newest = new Map();
    }

    define(entity, definition) {
        const schema = new ChangeSchema(definition);
        this._byId.set(schema.id, schema);
        this._newest.set(entity, schema);
        return schema.id;
    }

    newest(entity) {
        return this._newest.get(entity);
    }

    withId(id) {
        return this._byId.get(id);
    }

    get entities() {
        return [...this._newest.keys()];
    }
}

module.exports = { ChangeSchemas };
