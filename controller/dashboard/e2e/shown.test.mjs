// What pages make of what there is: a path that changed, many changes alike, data planes at the node that serves them,
// more of them than colours, and all of it on a phone.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { binary, Browser, Cluster, eventually, free, missing } from './cluster.mjs';

const skip = missing() || missing.planes();
const routers = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'];

describe('what is shown', { skip: skip || false }, () => {
  /** @type {Cluster} */ let cluster;
  /** @type {Browser} */ let browser;
  let page;
  let planes = [];
  let states;

  before(async () => {
    states = mkdtempSync(join(tmpdir(), 'dvr-planes-'));
    const backups = join(states, 'backups');
    writeFileSync(backups, ''); // where a directory is to be
    cluster = await Cluster.start(1, false, { DVR_BACKUP_DIR: backups });
    browser = await Browser.start(cluster.base);
    const events = [];
    for (const r of routers.slice(1)) events.push({ kind: 'link.set', a: 'a1', b: r, cost_ab: 1, cost_ba: 1, interface_a: `to-${r}`, interface_b: 'to-a1', address_a: ['10.255.0.1'], address_b: ['10.255.0.2'] });
    await cluster.must('POST', '/v1/commits', { events });
    const fib = `127.0.0.1:${Number(new URL(cluster.api).port) + 100}`;
    const port = await free(routers.length);
    planes = routers.map((r, i) => spawn(join(dirname(binary), 'dvr-dataplane'), ['--router', r, '--controller', fib, '--state-dir', join(states, r), '--listen', `127.0.0.1:${port + i}`, '--sink', 'memory'], { stdio: 'ignore' }));
    await eventually('data planes', async () => (await cluster.must('GET', '/v1/dataplanes')).dataplanes.filter((p) => p.connected).length === routers.length);
    page = await browser.open('/');
    await page.locator('h1').waitFor();
  });
  beforeEach((t) => browser?.begin(t.name));
  after(async () => {
    await browser?.stop();
    await Promise.all(planes.map((p) => new Promise((done) => (p.exitCode !== null ? done() : (p.once('exit', done), p.kill('SIGTERM'))))));
    await cluster?.stop();
    if (states) rmSync(states, { recursive: true, force: true });
  });

  test('an alarm of a node is why not everything is fine, with what to do, and is told beside the nodes', async () => {
    const verdict = page.getByRole('region', { name: 'Verdict' });
    const told = verdict.getByRole('listitem').filter({ hasText: 'node1: backups are not as they should be' });
    await told.getByText('What to do: mend BACKUP_DIR').waitFor();
    await verdict.getByText(/things? needs? attention/).waitFor();
    assert.equal(await verdict.getByText('Everything is fine').count(), 0);
    const { alarms } = await cluster.must('GET', '/v1/status');
    for (const { detail, do: remedy } of alarms.filter((a) => a.alarm === 'backup')) assert.ok((await told.innerText()).includes(remedy), detail);
    await browser.shoot(page, 'overview-alarm');
    assert.deepEqual(await browser.violations(page), []);
    await told.getByRole('link').click();
    const own = await browser.another(cluster.api);
    const p = await own.open('/nodes');
    for (const at of [page, p]) await at.getByRole('region', { name: 'Alarms' }).getByText('node1: backups are not as they should be').waitFor();
    assert.deepEqual(await browser.violations(page), []);
    await browser.shoot(page, 'nodes-alarm');
    assert.deepEqual(own.faults, []);
    await own.stop();
  });

  test('a path that changed is not said to be withdrawn', async () => {
    await cluster.must('POST', '/routes', { destination: '10.1.0.0/16', next_hop: '192.0.2.1', router: 'a2' });
    await cluster.must('PUT', '/routes/10.1.0.0/16', { router: 'a2', candidates: [{ next_hop: '192.0.2.2', metric: 7 }] });
    const { revision } = await cluster.must('GET', '/v1/status');
    assert.deepEqual((await cluster.must('GET', `/v1/commits/${revision}`)).events.map((e) => e.kind).sort(), ['route.announced', 'route.withdrawn']);
    for (const path of ['/history', '/']) {
      await browser.go(page, path);
      const line = path === '/' ? page.getByRole('listitem').filter({ hasText: '10.1.0.0/16' }).first() : page.getByRole('row').filter({ has: page.getByRole('link', { name: String(revision), exact: true }) });
      await line.getByText('path changed').waitFor();
      await line.getByText('from 192.0.2.1 to 192.0.2.2, metric 7 at a2').waitFor();
      assert.ok(!/withdrawn|more/.test(await line.innerText()), await line.innerText());
    }
    await cluster.must('DELETE', '/routes/10.1.0.0/16?router=a2');
    await browser.go(page, '/history');
    await page.getByRole('row').filter({ hasText: 'withdrawn' }).first().waitFor();
  });

  test('what changes alike is one line', async () => {
    // Two classes of prefixes, by how much farther a3 is, that leave a2 for a3 together.
    const routes = (of) => [10, 20].flatMap((metric) => [1, 2, 3].map((n) => ({ kind: 'route.announced', router: of, destination: `10.${metric}.${n}.0/24`, next_hop: '192.0.2.9', metric })));
    await cluster.must('POST', '/v1/commits', { events: [...routes('a2'), ...routes('a3').map((e) => ({ ...e, metric: e.metric + e.metric / 10 }))] });
    const { revision } = await cluster.must('POST', '/v1/links/a1/a2/down');
    const { changes } = await cluster.must('GET', `/v1/diff?from=${revision - 1}&to=${revision}&router=a1`);
    const groups = changes.filter((c) => c.kind === 'group' && c.router === 'a1');
    assert.ok(groups.length >= 2, JSON.stringify(changes));
    await browser.go(page, `/history?from=${revision - 1}&to=${revision}`);
    const line = page.getByRole('dialog').getByRole('listitem').filter({ hasText: /^\s*changed\s*a1/ });
    await line.getByText(/6 prefixes/).waitFor();
    assert.equal(await line.count(), 1);
    await cluster.must('POST', '/v1/links/a1/a2/up');
  });

  test('the page of nodes has the data planes of each, whoever started them', async () => {
    await browser.go(page, '/nodes');
    const row = page.getByRole('row', { name: /node1/ });
    for (const r of routers) await row.getByRole('link', { name: r, exact: true }).waitFor();
    assert.ok(!/none/.test(await row.innerText()));
    const own = await browser.another(cluster.api);
    const p = await own.open('/nodes');
    for (const r of routers) await p.getByRole('row', { name: /node1/ }).getByRole('link', { name: r, exact: true }).waitFor();
    assert.deepEqual(own.faults, []);
    await own.stop();
  });

  test('charts say which data planes they show, and show others', async () => {
    await browser.go(page, '/planes');
    const chart = page.getByRole('region', { name: 'Revisions behind' });
    await chart.getByText('the worst 5 of 7').waitFor();
    await chart.getByText('Choose which the charts show').click();
    await chart.getByLabel('a7', { exact: true }).check();
    await chart.getByText('those chosen 5 of 7').waitFor();
    assert.ok(await chart.getByLabel('a7', { exact: true }).isChecked());
    for (const r of routers) if (r !== 'a7' && (await chart.getByLabel(r, { exact: true }).isChecked())) await chart.getByLabel(r, { exact: true }).uncheck();
    await chart.getByText('those chosen 1 of 7').waitFor();
    assert.match(page.url(), /charts=a7/);
    await chart.getByRole('button', { name: 'The worst' }).click();
    await chart.getByText('the worst 5 of 7').waitFor();
    assert.deepEqual(await browser.violations(page), []);
  });

  test('on a phone no page and no table is wider than it', async () => {
    const phone = await browser.open('/', { viewport: { width: 360, height: 740 }, hasTouch: true });
    for (const path of ['/', '/nodes', '/routes', '/routes?destination=10.10.1.0/24', '/topology', '/topology?link=a1/a2/', '/history', '/planes', '/planes?router=a1', '/kv', '/routes?add=yes']) {
      await browser.go(phone, path);
      await phone.getByText('Live').first().waitFor();
      await phone.getByRole('main').waitFor();
      const wide = await phone.evaluate(() =>
        [...document.querySelectorAll('html, main, section, dialog, table, [role=table]')].filter((e) => e.clientWidth > 0 && e.scrollWidth > Math.min(e.clientWidth + 1, innerWidth + 1)).map((e) => `${e.tagName} ${e.ariaLabel ?? ''} ${e.scrollWidth} > ${e.clientWidth}`),
      );
      assert.deepEqual(wide, [], path);
      await browser.shoot(phone, `phone${path.replace(/[^a-z]+/g, '-')}`);
    }
    await phone.context().close();
  });

  test('nothing was complained of, and nothing asked of others', () => assert.deepEqual(browser.faults, []));
});
