// What a page shows once a node answers again that did not: what is there now, and nothing of before.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { binary, Browser, eventually, free, missing } from './cluster.mjs';

const skip = missing();

describe('a node that comes back', { skip: skip || false }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'dvr-reconnect-'));
  const running = new Set();
  let base, env, browser, page, node, fib;

  const run = (command, args, env) => {
    const p = spawn(command, args, { env, stdio: 'ignore' });
    running.add(p);
    return p;
  };
  const end = (p, signal = 'SIGKILL') =>
    new Promise((done) => {
      p.once('exit', () => (running.delete(p), done()));
      p.kill(signal);
    });
  const call = async (method, path, body) => {
    const r = await fetch(base + path, { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
    assert.ok(r.ok, `${method} ${path}: ${r.status}`);
    return r.json();
  };
  const start = async () => {
    node = run(binary, ['node'], env);
    await eventually('a node that is ready', async () => (await fetch(`${base}/readyz`)).ok);
  };
  const figures = () => page.getByRole('region', { name: 'Figures' });

  before(async () => {
    const api = await free(2, 12_000, 20_000);
    const raft = await free(2, 26_000, 32_000);
    fib = `127.0.0.1:${api + 1}`;
    base = `http://127.0.0.1:${api}`;
    env = { PATH: process.env.PATH, API_ADDR: `127.0.0.1:${api}`, RAFT_ADDR: `127.0.0.1:${raft}`, CLIENT_ADDR: `127.0.0.1:${raft + 1}`, FIB_ADDR: fib, DATA_DIR: join(dir, 'node'), LOG_LEVEL: 'error' };
    await start();
    for (let i = 0; i < 30; i++) await call('POST', '/routes', { destination: `10.${i}.0.0/16`, next_hop: '192.168.1.1', metric: 1 });
    browser = await Browser.start(base);
    page = await browser.open('/');
    await browser.fine(page);
  });
  beforeEach((t) => browser?.begin(t.name));
  after(async () => {
    await browser?.stop();
    for (const p of [...running]) await end(p);
    rmSync(dir, { recursive: true, force: true });
  });

  test('a data plane that is gone meanwhile is gone from the page', { skip: missing.planes() || false }, async () => {
    browser.expects(503, 'ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED_ENCODING');
    const plane = run(join(dirname(binary), 'dvr-dataplane'), ['--router', 'r1', '--state-dir', join(dir, 'plane'), '--controller', fib, '--listen', '127.0.0.1:0'], {});
    await figures().getByText('1 of 1', { exact: true }).nth(1).waitFor(); // the first is of nodes
    await Promise.all([end(plane), end(node)]);
    rmSync(join(env.DATA_DIR, 'dataplanes.json')); // by which a node knows those that were there before it
    await page.getByRole('status').getByText('No connection').waitFor();
    await start();
    await page.getByRole('status').getByText('Live').waitFor();
    await figures().getByText('start dvr-dataplane').waitFor();
    assert.deepEqual((await call('GET', '/v1/dataplanes')).dataplanes, []);
  });

  test('another cluster at its address is shown alone', async () => {
    browser.expects(503, 'ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED_ENCODING');
    const { revision } = await call('GET', '/v1/status');
    const was = page.getByRole('link', { name: String(revision), exact: true });
    await was.waitFor();
    await end(node);
    rmSync(env.DATA_DIR, { recursive: true });
    await start();
    const now = await call('PUT', '/kv/fresh', { value: 'log' });
    assert.ok(now.revision < revision);
    await page.getByRole('status').getByText(`revision ${now.revision}`, { exact: false }).waitFor();
    await page.getByRole('link', { name: String(now.revision), exact: true }).waitFor();
    await was.waitFor({ state: 'detached' });
    await browser.fine(page);
    assert.match(await figures().innerText(), /Routes\s+0\s/);
  });

  test('nothing was complained of', () => assert.deepEqual(browser.faults, []));
});
