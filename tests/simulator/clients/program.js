'use strict';

// A program's options come as JSON in its first argument; what it found goes out as a line of JSON.
// Integers that a JavaScript number cannot hold are written as text.

const options = JSON.parse(process.argv[2]);
const exactly = (key, value) => (typeof value === 'bigint' ? value.toString() : value);

exports.options = options;
exports.run = main => main(options).then(
    found => {
        process.stdout.write(JSON.stringify(found, exactly) + '\n', () => process.exit(0));
    },
    error => {
        console.error(error);
        process.exit(1);
    },
);
