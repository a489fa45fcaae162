// A real cluster for the tests: a launcher with one or more nodes, on ports of its own, and a browser.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';

const root = new URL('../../../', import.meta.url).pathname;
export const binary = process.env.DVR_BINARY || join(root, 'bin/dvr');
const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executable = process.env.CHROMIUM || browsers.find(existsSync);

/** Why the tests cannot run here; empty: they can. DVR_REQUIRE_BINARIES makes that a failure. */
export function missing() {
  const why = !executable ? 'Chromium is not installed: deploy/toolchain.sh browser' : !existsSync(binary) ? `${binary} is not built: make build` : '';
  if (why && process.env.DVR_REQUIRE_BINARIES) throw new Error(why);
  return why;
}
missing.planes = () => {
  const why = existsSync(join(dirname(binary), 'dvr-dataplane')) ? '' : `dvr-dataplane is not built beside ${binary}: make cpp`;
  if (why && process.env.DVR_REQUIRE_BINARIES) throw new Error(why);
  return why;
};

/**
 * free finds n ports in a row, between from and to, on which nobody listens, nor so far from them: below 32768, where
 * the system does not take any for connections.
 */
export async function free(n, from = 10_000, to = 12_000, apart = [0]) {
  const listens = (port) =>
    new Promise((done) => {
      const s = createServer();
      s.once('error', () => done(false));
      s.listen(port, '127.0.0.1', () => s.close(() => done(true)));
    });
  for (;;) {
    const first = from + Math.floor(Math.random() * (to - from - n));
    const ports = apart.flatMap((d) => Array.from({ length: n }, (_, i) => first + d + i));
    if ((await Promise.all(ports.map(listens))).every(Boolean)) return first;
  }
}

// Nothing waits that long but what never comes, however busy the machine is.
const most = 120_000;

export async function eventually(what, check, patience = most) {
  const end = Date.now() + patience;
  for (let last; ; ) {
    try {
      const got = await check();
      if (got) return got;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`not within ${patience / 1000} s: ${what}${last ? ` (${last})` : ''}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export class Cluster {
  /** start takes environment variables, too. */
  static async start(nodes, planes, env = {}) {
    const c = new Cluster();
    c.env = { ...process.env, ...env };
    c.dir = mkdtempSync(join(tmpdir(), 'dvr-dashboard-'));
    // Between the look and the use of a port somebody else may take it.
    while (!(await c.begin(nodes, planes))) if (!/in use/.test(c.log)) throw new Error(c.log);
    if (!(await (await fetch(c.base)).text()).includes('/_app/')) {
      await c.stop();
      throw new Error(`${binary} was built without the dashboard: make dashboard go`);
    }
    return c;
  }
  /** begin tells whether a launcher with nodes on free ports came up; where it ended, log says why. */
  async begin(nodes, planes) {
    const n = nodes + 4; // the tests add some
    const api = await free(n, 12_000, 20_000, [0, 100, 200]); // data planes 100, their metrics 200 above
    const raft = await free(n, 26_000, 32_700, [0, -5921]); // etcd's clients that far below
    const port = await free(1);
    this.base = `http://127.0.0.1:${port}`;
    this.api = `http://127.0.0.1:${api}`;
    const args = ['launch', '--nodes', nodes, '--data-dir', join(this.dir, String(port)), '--listen', `:${port}`, '--api-base', api, '--api-step', 1, '--raft-base', raft];
    this.log = '';
    this.process = spawn(binary, [...args.map(String), ...(planes ? ['--data-planes'] : [])], { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const s of [this.process.stdout, this.process.stderr]) s.on('data', (d) => (this.log += d));
    return eventually('a healthy cluster', async () => {
      if (this.process.exitCode !== null) return 'ended';
      const all = Object.values(await this.nodes());
      return all.length === nodes && all.every((n) => n.status === 'online') && all.some((n) => n.is_leader);
    }).then((how) => how !== 'ended');
  }
  async nodes() {
    return (await fetch(`${this.base}/api/control/nodes`)).json();
  }
  /** call asks the first node itself, past the page. */
  async call(method, path, body, headers = {}) {
    const r = await fetch(this.api + path, { method, headers: body ? { 'Content-Type': 'application/json', ...headers } : headers, body: body && JSON.stringify(body) });
    const text = await r.text();
    return { status: r.status, body: text ? JSON.parse(text) : undefined };
  }
  async must(method, path, body) {
    const r = await this.call(method, path, body);
    if (r.status >= 300) throw new Error(`${method} ${path}: ${r.status} ${JSON.stringify(r.body)}`);
    return r.body;
  }
  /** dvr runs the command line against the first node; answers what it prints. */
  dvr(...args) {
    const { DVR_TOKEN: _t, DVR_TOKEN_FILE: _f, ...env } = process.env;
    return execFileSync(binary, args, { env: { ...env, DVR_ENDPOINTS: this.api.slice('http://'.length) }, encoding: 'utf8' });
  }
  /** forwarding asks a data plane itself: the next hop, 'through' a router, or 'none'. */
  async forwarding(router, address) {
    const { status, body } = await this.call('GET', `/v1/lookup?address=${address}&router=${router}&source=dataplane`);
    if (status === 404) return 'none';
    if (status !== 200) throw new Error(JSON.stringify(body));
    return body.next_hops.map((h) => (h.via ? `through ${h.via}` : h.next_hop)).join(', ') || 'none';
  }
  async stop() {
    this.process.kill('SIGTERM');
    await new Promise((done) => (this.process.exitCode !== null || this.process.signalCode !== null ? done() : this.process.once('exit', done)));
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

export class Browser {
  /** start takes options of Playwright's launch. */
  static async start(base, options = {}) {
    const b = new Browser();
    b.base = base;
    b.faults = [];
    b.expected = {}; // what a test brings about of which Chromium complains, by the test's name: statuses, and Chromium's names of errors
    b.tests = ['', '']; // the one that runs, and the one before, of which the last words may come late
    b.chromium = await chromium.launch({
      executablePath: executable,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...options,
    });
    return b;
  }
  /** begin says which test begins. */
  begin(name) {
    this.tests = [name, this.tests[0]];
  }
  /** expects says what the test that runs brings about of which Chromium complains: statuses, and names of errors. All else is a fault. */
  expects(...what) {
    (this.expected[this.tests[0]] ??= []).push(...what);
  }
  /** another is a browser of its own, of the same test. */
  async another(base, options) {
    return Object.assign(await Browser.start(base, options), { expected: this.expected, tests: this.tests });
  }
  /** open makes a page of a person of its own; what it complains of is kept in faults. */
  async open(path = '/', options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1360, height: 860 }, ...options });
    context.setDefaultTimeout(most);
    // Svelte's warnings are a link; where they come from is in the stack.
    await context.addInitScript(() => {
      const warn = console.warn;
      console.warn = (...what) => warn(...what, new Error().stack);
    });
    const page = await context.newPage();
    const foreign = (url) => !url.startsWith(this.base) && !url.startsWith('data:') && !url.startsWith('blob:');
    page.on('request', (r) => foreign(r.url()) && this.faults.push(`a request to ${r.url()}`));
    page.on('pageerror', (e) => this.faults.push(`${e.stack}`));
    page.on('console', (m) => {
      if (!['error', 'warning'].includes(m.type())) return;
      const what = Number(m.text().match(/status of (\d+)/)?.[1]) || m.text().match(/net::(ERR_\w+)/)?.[1];
      if (!this.tests.some((name) => this.expected[name]?.includes(what))) this.faults.push(`${m.type()} in “${this.tests[0]}” at ${page.url()}: ${m.text()} ${m.location().url}`);
    });
    await page.goto(`${this.base}/#${path}`);
    return page;
  }
  /** go is what typing the address does: the page is loaded anew, and the one before it is not looked at any more. */
  async go(page, path) {
    const url = `${this.base}/#${path}`;
    await page.locator('h1').waitFor(); // before it has started it is not loaded anew
    await page.evaluate(() => (document.documentElement.dataset.left = 'yes'));
    if (page.url() === url) await page.reload();
    else await page.goto(url);
    await page.locator('html:not([data-left]) h1').waitFor();
  }
  /** fine waits until the overview finds nothing wrong, but for what a busy machine does to disks and clocks. */
  async fine(page) {
    const verdict = page.getByRole('region', { name: 'Verdict' });
    await eventually('that everything is fine', async () => {
      const found = await verdict.getByRole('listitem').allInnerTexts();
      return /Everything is fine/.test(await verdict.innerText()) || (found.length > 0 && found.every((f) => /^[^:]+: the (disk is slow|clock is not right)/.test(f)));
    });
  }
  /** violations are what axe finds, in words. */
  async violations(page) {
    await page.evaluate(`${axe}; undefined`); // past the policy, which forbids it to the page itself
    const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
    return found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(' | ')}`.slice(0, 900));
  }
  /** shoot keeps a picture to look at, where a folder for them is named. */
  async shoot(page, name) {
    const folder = process.env.DVR_SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: `${folder}/${name}.png` });
  }
  async stop() {
    await this.chromium.close();
  }
}
