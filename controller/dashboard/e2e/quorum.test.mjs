// What the page says of the quorum before a node is stopped or decommissioned, against a count of the votes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runnerImport } from 'vite';

const file = new URL('../src/lib/quorum.ts', import.meta.url).pathname;
const { quorum, without, consequence } = (await runnerImport(file, { configFile: false, logLevel: 'error' })).module;

const voter = { voter: true, online: true, leader: false, forGood: false };
const offline = { ...voter, online: false };
const gone = { ...voter, forGood: true };
const offlineGone = { ...offline, forGood: true };
const leads = { ...voter, leader: true };
const observer = { voter: false, online: true, leader: false, forGood: true };

describe('the quorum without a node', () => {
  // Voters and online before, who leaves; voters, online, needed and margin after, and what is said.
  const cases = [
    [4, 3, offlineGone, [3, 3, 2, 1], /^It is offline; of the voters that remain, 3, 3 are online, and 2 are needed instead of 3: 1 more may fail, 0 before\.$/],
    [5, 4, offlineGone, [4, 4, 3, 1], /4 are online, and 3 are needed: 1 more may fail, as before\.$/],
    [3, 2, offlineGone, [2, 2, 2, 0], /2 are online, just enough, as 2 are needed: the next one lost/],
    [2, 1, offlineGone, [1, 1, 1, 0], /remain, 1, 1 is online, just enough, as 1 is needed instead of 2/],
    [5, 2, offlineGone, [4, 2, 3, -1], /2 are online, and 3 are needed: the cluster still has no quorum/],
    [4, 2, offlineGone, [3, 2, 2, 0], /2 are online, just enough, as 2 are needed instead of 3/],
    [4, 3, offline, [4, 3, 3, 0], /^It is offline: its vote does not count now, and the quorum does not change\.$/],
    [3, 3, voter, [3, 2, 2, 0], /^Without it 2 of 3 voters are online, just enough, as 2 are needed: the next one lost ends the quorum\.$/],
    [3, 3, leads, [3, 2, 2, 0], /just enough.*It leads: another node is elected/],
    [3, 2, leads, [3, 1, 2, -1], /^Without it 1 of 3 voters is online, and 2 are needed: the cluster loses its quorum, and every change is refused until a voter is back\.$/],
    [5, 5, voter, [5, 4, 3, 1], /^Without it 4 of 5 voters are online, and 3 are needed: 1 more may fail, 2 before\.$/],
    [4, 4, gone, [3, 3, 2, 1], /3 of 3 voters are online, and 2 are needed instead of 3: 1 more may fail, as before\.$/],
    [3, 3, gone, [2, 2, 2, 0], /2 of 2 voters are online, just enough/],
    [3, 3, observer, [3, 3, 2, 1], /^It has no vote: the quorum does not change\.$/],
  ];
  for (const [voters, online, who, after, words] of cases)
    test(`${online} of ${voters} online, ${JSON.stringify(who)}`, () => {
      const now = quorum(voters, online);
      assert.deepEqual(Object.values(without(now, who)), after);
      assert.match(consequence(now, who), words);
    });

  test('is a majority, of any number', () => {
    for (let voters = 1; voters < 10; voters++)
      for (let online = 0; online <= voters; online++) {
        const { needed, margin } = quorum(voters, online);
        assert.ok(2 * needed > voters && 2 * (needed - 1) <= voters);
        // So many may fail that a majority is left, and not one more.
        assert.ok(2 * (online - margin) > voters && 2 * (online - margin - 1) <= voters);
      }
  });
});
