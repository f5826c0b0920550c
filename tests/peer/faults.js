'use strict';

// What goes wrong on the way, so many times from now on; and how often it did.

class Faults {
    constructor() {
        this.happened = {};
        this._left = {};
        this._open = new Set();
    }

    // 'unavailable': 503; 'busy': too busy, says a refusal; 'cut': the connection ends in the
    // middle of an answer; 'mangle': a whole answer whose JSON ends in its middle. The last two
    // wait for an answer that brings events when asked for as 'cut-events', 'mangle-events'.
    set(kind, times) {
        this._left[kind] = times;
    }

    take(kind) {
        if (!this._left[kind]) {
            return false;
        }
        this._left[kind] -= 1;
        this.count(kind);
        return true;
    }

    count(kind) {
        this.happened[kind] = (this.happened[kind] || 0) + 1;
    }

    // Cuts every request that waits for its answer.
    hangUp() {
        const open = [...this._open];
        open.forEach(response => response.socket.destroy());
        open.forEach(() => this.count('hangup'));
        return open.length;
    }

    // Lets faults happen to the answer that the library will give.
    watch(response) {
        this._open.add(response);
        response.on('close', () => this._open.delete(response));
        const end = response.end.bind(response);
        response.end = (content, ...rest) => {
            const bytes = Buffer.from(content || '');
            const half = bytes.subarray(0, bytes.length >> 1);
            if (this._hits('cut', content)) {
                response.setHeader('Content-Length', bytes.length);
                response.write(half, () => response.socket.destroy());
                return response;
            }
            return this._hits('mangle', content) ? end(half) : end(content, ...rest);
        };
    }

    _hits(kind, content) {
        const brings = /"channel":"\/data\//.test(content || '');
        return Boolean(content) && (this.take(kind) || (brings && this.take(`${kind}-events`)));
    }
}

module.exports = { Faults };
