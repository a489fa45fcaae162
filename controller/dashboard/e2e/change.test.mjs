// Changes in a real browser, through to what data planes forward by: what is previewed, what waits for a confirmation,
// what is rolled back.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Browser, Cluster, eventually, missing } from './cluster.mjs';

const skip = missing() || missing.planes();

describe('changes', { skip: skip || false }, () => {
  /** @type {Cluster} */ let cluster;
  /** @type {Browser} */ let browser;
  let page;

  // node1 — node2 — node3, the third with the exit, and a dear link between the first and the third.
  before(async () => {
    cluster = await Cluster.start(3, true);
    browser = await Browser.start(cluster.base);
    await eventually('the data planes', async () => (await cluster.must('GET', '/v1/dataplanes')).dataplanes.filter((p) => p.connected).length === 3);
    await cluster.must('PUT', '/v1/links/node1/node2', { cost_ab: 1, cost_ba: 1, interface_a: 'eth0', interface_b: 'eth0' });
    await cluster.must('PUT', '/v1/links/node2/node3', { cost_ab: 1, cost_ba: 1, interface_a: 'eth0', interface_b: 'eth0' });
    await cluster.must('PUT', '/v1/links/node1/node3', { cost_ab: 10, cost_ba: 10, interface_a: 'eth0', interface_b: 'eth0' });
    await cluster.must('POST', '/routes?wait=installed&timeout=60s', { destination: '10.3.0.0/16', next_hop: '192.0.2.3', router: 'node3' });
    page = await browser.open('/');
    await page.locator('h1').waitFor();
  });
  beforeEach((t) => browser?.begin(t.name));
  after(async () => {
    await browser?.stop();
    await cluster?.stop();
  });

  const dialog = () => page.getByRole('dialog');
  const button = (name, within = page) => within.getByRole('button', { name, exact: true });
  const follows = (within = page) => within.getByRole('region', { name: 'What follows' });
  const head = async () => (await cluster.must('GET', '/v1/status')).revision;
  /** forwards waits until the data plane itself sends an address there: a next hop, 'through a router', or 'none'. */
  const forwards = (router, address, where) =>
    eventually(`${router} sends ${address}: ${where}`, async () => {
      const got = await cluster.forwarding(router, address);
      if (got !== where) throw new Error(`it says ${got}`);
      return true;
    });

  test('a route is previewed while it is typed, and is what was previewed', async () => {
    await browser.go(page, '/routes?add=yes');
    const before = await head();
    await dialog().getByLabel('Destination').fill('10.4.0.0/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('192.0.2.1');
    await dialog().getByLabel('Router').fill('node1');
    await follows().getByText('1 item added. 3 routers forward differently.').waitFor();
    await follows().getByText('10.4.0.0/16 no route → 192.0.2.1').waitFor();
    assert.equal(await head(), before, 'a preview was stored');
    assert.equal(await cluster.forwarding('node1', '10.4.0.1'), 'none');
    await dialog().getByLabel('Router').fill('nod1');
    await follows().getByRole('list', { name: 'Warnings' }).getByText('router nod1 is not declared, has no link and no data plane: is the name right?').waitFor();
    await dialog().getByLabel('Router').fill('node1');
    await follows().getByRole('list', { name: 'Warnings' }).waitFor({ state: 'detached' });
    await button('Add', dialog()).click();
    await dialog().getByText('via 192.0.2.1').waitFor();
    assert.equal(await head(), before + 1);
    await forwards('node1', '10.4.0.1', '192.0.2.1');
    await button('Change the route via 192.0.2.1').click();
    await follows().getByText('Nothing: it is so already.').waitFor();
    await button('Cancel', dialog().last()).click();
    await button('Withdraw the route via 192.0.2.1').click();
    await follows().getByText('1 item removed. 3 routers forward differently.').waitFor();
    await button('Withdraw', dialog().last()).click();
    await forwards('node1', '10.4.0.1', 'none');
  });

  test('a preview counts the routers where packets go elsewhere', async () => {
    await browser.go(page, '/routes?add=yes');
    await dialog().getByLabel('Destination').fill('10.3.0.0/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('192.0.2.2');
    await dialog().getByLabel('Router').fill('node2'); // node1 goes through it in any case, node3 has its own
    await follows().getByText('1 item added. 1 router forwards differently.').waitFor();
    await button('Cancel', dialog()).click();
  });

  test('a cost, a link down, a drain: where packets go then, and that they do', async () => {
    browser.expects(400);
    await forwards('node1', '10.3.0.1', 'through node2');
    await browser.go(page, '/topology?link=node1/node3/');
    await button('Change costs').click();
    await page.getByLabel('node1 → node3').fill('0');
    await follows().getByText('as soon as the form is complete').waitFor();
    await page.getByLabel('node1 → node3').fill('1');
    await follows().getByText('1 router forwards differently').waitFor();
    await follows().getByText(/10\.3\.0\.0\/16 through node2 → through node3|such as 10\.3\.0\.0\/16 through node2 → through node3/).waitFor();
    await button('Save costs').click();
    await forwards('node1', '10.3.0.1', 'through node3');

    await button('Take down').click();
    await follows().getByText(/through node3 → through node2/).waitFor();
    await button('Take down', dialog()).click();
    await forwards('node1', '10.3.0.1', 'through node2');
    assert.ok((await cluster.must('GET', '/v1/links/node1/node3')).down);

    await browser.go(page, '/topology?router=node2');
    await button('Drain').click();
    await dialog().getByLabel(/Let nothing through at all/).check();
    await follows().getByText(/through node2 → no route/).waitFor();
    await follows().getByRole('list', { name: 'Warnings' }).waitFor();
    await button('Cancel', dialog()).click();
    await browser.go(page, '/topology?link=node1/node3/');
    await button('Take up').click();
    await button('Take up', dialog()).click();
    await forwards('node1', '10.3.0.1', 'through node3');
  });

  test('a commit that is not confirmed undoes itself; one that is confirmed stays', async () => {
    await browser.go(page, '/routes?add=yes');
    await dialog().getByLabel('Destination').fill('10.5.0.0/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('192.0.2.5');
    await dialog().getByLabel('If nobody confirms it').selectOption('it is undone after 30 minutes');
    await button('Add', dialog()).click();
    await dialog().getByText('via 192.0.2.5').waitFor();
    await button('Close', dialog()).click();
    const waiting = page.getByRole('region', { name: 'Waiting for confirmation' });
    await waiting.getByRole('timer').getByText(/^2\d:[0-5]\d$|^30:00$/).waitFor();
    const { confirmations } = await cluster.must('GET', '/v1/confirmations');
    assert.equal(confirmations.length, 1);
    for (const p of ['/', '/nodes', '/planes', '/kv', '/history', '/topology']) {
      await browser.go(page, p);
      await waiting.waitFor();
    }
    await button(`Confirm commit ${confirmations[0].commit}`).click();
    await waiting.waitFor({ state: 'detached' });
    assert.deepEqual((await cluster.must('GET', '/v1/confirmations')).confirmations, []);
    await forwards('node2', '10.5.0.1', '192.0.2.5');

    // By the time that it is seen installed it may be undone already.
    const { revision } = await cluster.must('POST', '/routes?confirm_within=2s&wait=installed&timeout=60s', { destination: '10.6.0.0/16', next_hop: '192.0.2.6' });
    await waiting.waitFor({ state: 'detached' });
    await forwards('node2', '10.6.0.1', 'none');
    await browser.go(page, '/history');
    await page.getByRole('row', { name: new RegExp(`undone.*commit ${revision}`) }).or(page.getByRole('row', { name: /10\.6\.0\.0\/16.*undone|withdrawn.*10\.6\.0\.0\/16/ })).first().waitFor();
  });

  test('a commit is rolled back, with what follows shown before; a conflict names who changed it since', async () => {
    browser.expects(409);
    const { revision } = await cluster.must('POST', '/routes?reason=mistake', { destination: '10.7.0.0/16', next_hop: '192.0.2.7' });
    await forwards('node3', '10.7.0.1', '192.0.2.7');
    await browser.go(page, `/history?revision=${revision}`);
    await page.getByRole('link', { name: 'Roll back', exact: true }).click();
    await follows().getByText('1 item removed. 3 routers forward differently.').waitFor();
    await dialog().getByLabel('Reason').fill('not that one');
    await button('Roll back', dialog()).click();
    await forwards('node3', '10.7.0.1', 'none');
    const last = await cluster.must('GET', `/v1/commits/${await head()}`);
    assert.deepEqual([last.reverts, last.reason, last.actor], [[revision], 'not that one', 'dashboard']);
    await page.getByRole('dialog', { name: `Commit ${last.revision}` }).waitFor();

    const first = await cluster.must('POST', '/routes', { destination: '10.8.0.0/16', next_hop: '192.0.2.8', metric: 1 });
    const { revision: second } = await cluster.must('PUT', '/routes/10.8.0.0/16', { candidates: [{ next_hop: '192.0.2.8', metric: 2 }] });
    await browser.go(page, `/history?rollback=${first.revision}`);
    await follows().getByText('This would be refused').waitFor();
    await follows().getByRole('list', { name: 'What cannot be taken back' }).getByRole('link', { name: String(second) }).first().waitFor();
    assert.ok(await button('Roll back', dialog()).isDisabled());
  });

  test('two commits are chosen on the page: what differs between them, and both rolled back', async () => {
    const one = (await cluster.must('PUT', '/kv/one', { value: '1' })).revision;
    const two = (await cluster.must('POST', '/routes', { destination: '10.9.0.0/16', next_hop: '192.0.2.9' })).revision;
    await browser.go(page, '/history');
    await page.getByLabel(`Choose commit ${one}`).check();
    await page.getByLabel(`Choose commit ${two}`).check();
    await button('What differs between them').click();
    await dialog().getByText('10.9.0.0/16').first().waitFor();
    await dialog().getByText('What was changed: 1 item').waitFor();
    await button('Close', dialog()).click();
    await page.getByRole('region', { name: 'Chosen commits' }).getByRole('button', { name: 'Roll back' }).click();
    await follows().getByText('2 items removed').waitFor();
    await button('Roll back', dialog()).click();
    await forwards('node1', '10.9.0.1', 'none');
    assert.equal((await cluster.call('GET', '/kv/one')).status, 404);
    await browser.go(page, '/history');
    await page.getByLabel('Compare from revision').fill(String(one - 1));
    await page.getByLabel('Compare to revision').fill(String(one));
    await button('Compare').click();
    await dialog().getByText('What was changed: 1 item').waitFor();
  });

  test('everything is restored to a revision', async () => {
    const then = await head();
    await cluster.must('PUT', '/v1/links/node1/node3', { cost_ab: 50, cost_ba: 50, interface_a: 'eth0', interface_b: 'eth0' });
    await cluster.must('PUT', '/kv/site', { value: 'later' });
    await forwards('node1', '10.3.0.1', 'through node2');
    await browser.go(page, `/history?revision=${then}`);
    await page.getByRole('link', { name: 'Restore this state' }).click();
    await follows().getByText(/through node2 → through node3/).waitFor();
    await button('Restore', dialog()).click();
    await forwards('node1', '10.3.0.1', 'through node3');
    assert.equal((await cluster.call('GET', '/kv/site')).status, 404);
  });

  test('a guard rail is explained, and passed by force with a reason only', async () => {
    browser.expects(400, 409, 422);
    await cluster.must('PUT', '/v1/guards/core', { type: 'protected', prefixes: ['10.3.0.0/16'] });
    await browser.go(page, '/routes?destination=10.3.0.0/16&router=node3');
    await button('Withdraw the route via 192.0.2.3').click();
    await follows().getByText('A guard rail refuses this').waitFor();
    assert.ok(await button('Withdraw', dialog().last()).isDisabled());
    await dialog().last().getByLabel(/Do it all the same/).check();
    await follows().getByText(/Passes by force: .*core/).waitFor();
    await button('Withdraw', dialog().last()).click();
    await dialog().last().getByText(/reason/i).last().waitFor();
    assert.equal((await cluster.call('GET', '/routes/10.3.0.0/16')).status, 200);
    await dialog().last().getByLabel('Reason').fill('moved to another site');
    await button('Withdraw', dialog().last()).click();
    await forwards('node3', '10.3.0.1', 'none');
    assert.deepEqual((await cluster.must('GET', `/v1/commits/${await head()}`)).forced, ['core']);
  });

  test('data planes: what they have, what they could not install, what they repaired', async () => {
    const { revision } = await cluster.must('POST', '/routes?wait=installed&timeout=60s', { destination: '10.12.0.0/16', next_hop: '192.0.2.12' });
    await browser.go(page, '/routes?destination=10.12.0.0/16');
    await dialog().getByText('acknowledged by node1, node2, node3').waitFor();
    await browser.go(page, '/planes');
    for (const n of [1, 2, 3]) await page.getByRole('row', { name: new RegExp(`^node${n} in sync ${revision}`) }).waitFor();
    for (let i = 0; i < 20; i++) await cluster.forwarding('node1', '10.12.0.1');
    await page.getByRole('heading', { name: 'Forwarded a second' }).waitFor();
    await page.getByRole('link', { name: 'node1', exact: true }).click();
    await dialog().getByText('None: nobody has changed what it installed.').waitFor();
    await button('Audit and repair').click();
    await dialog().getByRole('region', { name: 'Audit' }).waitFor();

    // Failures and repairs need a kernel: the node's answer is told to the page with some in it.
    await page.route('**/v1/dataplanes', async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      const p = body.dataplanes.find((x) => x.router === 'node2');
      p.sink_states.push({ name: 'kernel', entries: 7, failed: 1, repaired: 41, deviates: false, failures: [{ prefix: '10.12.0.0/16', reason: 'no such interface' }] });
      p.repairs = [{ time: new Date().toISOString(), prefix: '10.3.0.0/16', cause: 'removed by others', count: 1 }, { time: new Date().toISOString(), cause: 'the table was flushed', count: 40 }];
      p.down = [{ interface: 'eth7', next_hop: '192.0.2.77', since: new Date().toISOString() }];
      await route.fulfill({ response: answer, json: body });
    });
    await browser.go(page, '/routes?destination=10.12.0.0/16');
    await dialog().getByText('node2 could not install it (kernel): no such interface').waitFor();
    await dialog().getByText('acknowledged by node1, node3').waitFor();
    await browser.go(page, '/planes?router=node2');
    await dialog().getByRole('list', { name: 'Repairs' }).getByText(/40 prefixes: the table was flushed/).waitFor();
    await dialog().getByText('192.0.2.77 on eth7').waitFor();
    await dialog().getByRole('link', { name: '10.12.0.0/16' }).waitFor();
    assert.deepEqual(await browser.violations(page), []);
    await browser.shoot(page, 'plane-failures');
    await page.unroute('**/v1/dataplanes');
  });

  test('the overview says who is behind', async () => {
    await browser.go(page, '/');
    await browser.fine(page);
    const { pid } = (await cluster.nodes()).node2.data_plane;
    process.kill(pid, 'SIGSTOP');
    try {
      for (let i = 0; i < 110; i++) await cluster.must('POST', '/routes', { destination: '10.13.0.0/16', next_hop: '192.0.2.13', metric: i });
      await page.getByText(/The data plane of node2 is 1\d\d revisions behind/).waitFor();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await browser.fine(page);
  });

  test('the overview measures how long changes take, and tells the past', async () => {
    await browser.go(page, '/');
    // The page reads the metrics of one node, which counts what it answers itself.
    await eventually('a measurement', async () => {
      for (const n of [1, 2, 3]) {
        const body = JSON.stringify({ value: String(Math.random()) });
        await fetch(`${cluster.base}/api/node/node${n}/kv/measured`, { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body });
      }
      return page.getByText(/half within [\d.,]+ ms/).isVisible();
    });
    await browser.shoot(page, 'overview-measured');
    await browser.go(page, '/?at=5');
    await page.getByRole('link', { name: /Routes 1 .*at revision 5/ }).waitFor();
  });

  test('what asks, offers and waits has no violation', async () => {
    await cluster.must('POST', '/routes?confirm_within=5m', { destination: '10.11.0.0/16', next_hop: '192.0.2.11' });
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark', viewport: { width: 390, height: 844 }, isMobile: true }]) {
      const p = await browser.open('/', options);
      await p.getByRole('region', { name: 'Waiting for confirmation' }).waitFor();
      for (const [path, seen] of [['/history?rollback=3', 'What follows'], ['/routes?add=yes', 'What follows'], ['/history', 'Waiting for confirmation']]) {
        await browser.go(p, path);
        await p.getByRole('region', { name: seen }).waitFor();
        assert.deepEqual(await browser.violations(p), []);
        assert.ok((await p.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${path} is wider than the screen`);
        await browser.shoot(p, `change${path.replace(/[^a-z]+/g, '-')}${options.colorScheme}`);
      }
      await p.context().close();
    }
  });

  test('nothing was complained of', () => assert.deepEqual(browser.faults, []));
});
