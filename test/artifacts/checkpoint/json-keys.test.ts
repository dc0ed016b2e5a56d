import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { duplicateKey } from '../../../src/artifacts/checkpoint/json-keys.ts';

const test = suite('checkpoint/json-keys');

test('finds a repeated key at any depth, also when it is written differently', () => {
  assert.is(duplicateKey('{"a":1,"b":{"a":2},"a":3}'), 'a');
  assert.is(duplicateKey('{"a" :1, "\\u0061"\n:3}'), 'a');
  assert.is(duplicateKey('[{"x":1},{"y":{"z":[],"z":0}}]'), 'z');
});

test('takes no value for a key', () => {
  assert.is(duplicateKey('{"a":"a","b":"a","c":["a","a","{","\\"a\\":"],"d":{"a":1}}'), undefined);
  assert.is(duplicateKey('"text"'), undefined);
  assert.is(duplicateKey('{"a\\\\":1,"a":2,"":3}'), undefined);
});

test.run();
