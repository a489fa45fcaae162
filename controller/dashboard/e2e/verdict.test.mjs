// The answer to "is it fine?": what alarms of nodes add to it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runnerImport } from 'vite';

const { alarmsOf, findings, planeState, voting } = (await runnerImport(new URL('../src/lib/verdict.ts', import.meta.url).pathname, { configFile: false, logLevel: 'error' })).module;

const member = (node_id, ...alarms) => ({ node_id, role: 'voter', online: true, leader: node_id === 'a', alarms: alarms.length ? alarms : undefined });
const alarm = (name, detail = 'd', remedy = 'do it') => ({ alarm: name, detail, do: remedy });
const votes = { voters: 3, online: 3, needed: 2, leader: 'a' };
const judged = (...members) => findings(votes, [], members, [], 1, undefined);

describe('the verdict', () => {
  test('without alarms nothing is wrong', () => assert.deepEqual(judged(member('a'), member('b'), member('c')), []));

  test('every alarm counts, at whichever node, and says what to do', () => {
    for (const name of ['disk_full', 'store_full', 'keys_full', 'disk_slow', 'clock', 'certificate', 'archive', 'backup', 'of a newer node']) {
      const [found, ...more] = judged(member('a'), member('b', alarm(name, '3 MiB are free', 'free some')));
      assert.deepEqual(more, []);
      assert.match(found.text, /^b: ./);
      assert.deepEqual([found.why, found.todo], ['3 MiB are free', 'free some']);
      assert.match(found.path, /^\//);
    }
  });

  test('what ends in refusals is bad, and comes first', () => {
    const list = judged(member('a', alarm('disk_slow')), member('b', alarm('disk_full')));
    assert.deepEqual(list.map((f) => [f.tone, f.text]), [['bad', 'b: the disk is nearly full'], ['warn', 'a: the disk is slow']]);
  });

  test('a node whose log is in an external etcd is judged by that', () => {
    const external = (quorum) => [{ node_id: 'a', state: 'External', quorum, leader: 'etcd:2379' }];
    assert.deepEqual(voting([], external(true)), { external: true, voters: 1, online: 1, needed: 1, leader: 'a' });
    assert.deepEqual(findings(voting([], external(true)), [], external(true), [], 1, undefined), []);
    assert.deepEqual(findings(voting([], external(false)), [], external(false), [], 1, undefined).map((f) => [f.tone, f.text]), [['bad', 'The external etcd takes no changes']]);
    assert.deepEqual(voting([], [member('a')]).external, false);
  });

  test('a data plane that does not move is behind, one that catches up is not', () => {
    const plane = (revision) => ({ router: 'r', connected: true, failed: 0, deviates: false, digest_equal: true, position: { revision } });
    for (const [revision, stuck, text] of [[7, false, 'in sync'], [7, true, 'in sync'], [6, false, 'in sync'], [6, true, 'behind'], [0, false, 'connecting']]) assert.equal(planeState(plane(revision), 7, stuck).text, text, `${revision} ${stuck}`);
    assert.equal(planeState(plane(6), 200, false).text, 'behind');
    const told = (stuck) => findings(votes, [], [], [plane(6)], 7, undefined, { r: stuck }).map((f) => f.text);
    assert.deepEqual([told(false), told(true)], [[], ['The data plane of r is 1 revision behind']]);
  });

  test('one that several nodes have is one thing, with what each says of it', () => {
    const told = (...members) => alarmsOf(members).map((f) => [f.text, f.why]);
    const keys = 'keys and values take nearly all of their room';
    assert.deepEqual(told(member('a', alarm('keys_full')), member('b', alarm('keys_full'))), [[`a, b: ${keys}`, 'd']]);
    assert.deepEqual(told(member('a', alarm('keys_full')), member('b', alarm('keys_full', 'other'))), [[`a, b: ${keys}`, 'a: d; b: other']]);
    assert.deepEqual(told(member('a', alarm('keys_full')), member('b', alarm('keys_full', 'd', 'do that'))), [[`a: ${keys}`, 'd'], [`b: ${keys}`, 'd']]);
    assert.deepEqual(told(member('a', alarm('clock', 'x'), alarm('archive', 'x'))), [['a: the clock is not right', 'x'], ['a: history is not archived', 'x']]);
  });
});
