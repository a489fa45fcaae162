// Whether what is being typed may be whole: everything that the server takes may be, and what is begun may not.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runnerImport } from 'vite';

const { addressLike, prefixLike } = (await runnerImport(new URL('../src/lib/shape.ts', import.meta.url).pathname, { configFile: false, logLevel: 'error' })).module;

const addresses = ['0.0.0.0', '10.1.2.3', '255.255.255.255', '::', '::1', 'fe80::', 'fe80::1', '2001:db8::1', '2001:DB8::A', '2001:db8:1:2:3:4:5:6', '::ffff:192.0.2.1'];
const begun = ['', '1', '10.', '10.1.2', '10.1.2.', 'f', 'fe80', 'fe80:', '2001:db8', '2001:db8:1:', '2001:db8::1:', 'here', '10.1.2.3.4', '10.1.2.3456'];

describe('what is typed', () => {
  for (const a of addresses)
    test(a, () => {
      assert.ok(addressLike(a));
      assert.ok(prefixLike(`${a}/1`) && prefixLike(`${a}/128`));
      for (const short of [a, `${a}/`, `${a}/x`, `${a}/24/`, `/${a}`]) assert.ok(!prefixLike(short), short);
    });
  for (const a of begun) test(`“${a}” is not whole`, () => assert.ok(!addressLike(a) && !prefixLike(a) && !prefixLike(`${a}/24`)));
});
