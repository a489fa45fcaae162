// The page of a cluster that asks who one is: signing in and out, and what is offered to whom.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Browser, Cluster, eventually, missing } from './cluster.mjs';

const skip = missing();

describe('authorization', { skip: skip || false }, () => {
  /** @type {Cluster} */ let cluster;
  /** @type {Browser} */ let browser;
  let page;
  const tokens = {};

  before(async () => {
    cluster = await Cluster.start(1, false);
    browser = await Browser.start(cluster.base);
    await cluster.must('PUT', '/v1/links/ams1/fra1', { cost_ab: 3, cost_ba: 3 });
    await cluster.must('POST', '/routes', { destination: '10.1.0.0/16', next_hop: '192.168.1.1' });
    await cluster.must('PUT', '/kv/site%2Fname', { value: 'core one' });
    page = await browser.open('/');
    await browser.fine(page);
    const file = (name) => join(cluster.dir, `${name}.token`);
    cluster.dvr('auth', 'init', 'alice', '--write', file('alice'));
    const alice = ['--token-file', file('alice')];
    cluster.dvr('auth', 'role', 'grant', 'eve', 'viewer', ...alice);
    cluster.dvr('auth', 'role', 'grant', 'kim', 'operator', '--key-prefix', 'site/', ...alice);
    for (const name of ['eve', 'kim', 'nobody']) cluster.dvr('auth', 'token', 'create', name, '--write', file(name), ...alice);
    for (const name of ['alice', 'eve', 'kim', 'nobody']) tokens[name] = readFileSync(file(name), 'utf8').trim();
    cluster.alice = alice;
  });
  beforeEach((t) => browser?.begin(t.name));
  after(async () => {
    await browser?.stop();
    await cluster?.stop();
  });

  const dialog = () => page.getByRole('dialog', { name: 'Sign in' });
  const button = (name, within = page) => within.getByRole('button', { name, exact: true });
  const kept = () => page.evaluate(() => [sessionStorage.getItem('token'), JSON.stringify(localStorage), location.href, document.cookie]);
  async function signIn(name) {
    await dialog().getByLabel('Token').fill(tokens[name]);
    await button('Sign in', dialog()).click();
    await dialog().waitFor({ state: 'detached' });
    await page.getByText(`Signed in as ${name}`).waitFor();
    await page.getByRole('status').getByText('Live').waitFor();
  }
  async function signOut() {
    await button('Sign out').click();
    await dialog().getByText('This cluster asks who you are.').waitFor();
  }
  /** refused: the button is there, disabled, and says why. */
  async function refused(name, why, within = page) {
    const b = button(name, within).first();
    await b.and(page.locator('[disabled]')).waitFor();
    assert.match((await b.getAttribute('title')) ?? '', why, name);
  }

  test('a page that is open when the cluster begins to ask is asked, and says that it knows nothing', async () => {
    browser.expects(401);
    await dialog().getByText('This cluster asks who you are.').waitFor();
    await page.getByRole('status').getByText('Not signed in').waitFor();
    assert.deepEqual(await browser.violations(page), []);
    await browser.shoot(page, 'sign-in');
    await button('Cancel', dialog()).click();
    await page.getByText('Sign in, and this page says whether all is well').waitFor();
    for (const [path, name] of [['/routes', 'Add a route'], ['/nodes', 'Add a node'], ['/kv', 'Add a key']]) {
      await browser.go(page, path);
      await dialog().waitFor();
      await page.keyboard.press('Escape');
      await refused(name, /^Nobody is signed in/);
    }
    await button('Sign in').click();
    await dialog().waitFor();
  });

  test('a wrong token is explained at its field, and is not kept', async () => {
    browser.expects(401, 403);
    for (const [token, why] of [['dvr_aaaaaaaaaaaaa_nonsense', /does not know this token/], [`${tokens.eve.slice(0, -1)}${tokens.eve.endsWith('a') ? 'e' : 'a'}`, /does not know this token/], [`${tokens.eve.slice(0, -8)}…`, /has ASCII characters only/], [tokens.nobody, /has no role/]]) {
      await dialog().getByLabel('Token').fill(token);
      await button('Sign in', dialog()).click();
      await dialog().getByText(why).waitFor();
      assert.equal(await dialog().getByLabel('Token').getAttribute('aria-invalid'), 'true');
      assert.equal((await kept())[0], null);
    }
  });

  test('a viewer sees everything, and of each action why it is not for viewers', async () => {
    browser.expects(401);
    await signIn('eve');
    const [token, ...elsewhere] = await kept();
    assert.equal(token, tokens.eve);
    for (const place of elsewhere) assert.ok(!place.includes(tokens.eve), `the token is in ${place}`);
    await page.getByText('Signed in as eve, viewer').waitFor();
    await browser.go(page, '/');
    await browser.fine(page);
    await page.getByText('authorization on').or(page.getByText(/of alice/)).first().waitFor();
    assert.ok(!/sha256/.test(await page.getByRole('main').innerText()), 'an event has no words');
    const operator = /^eve has the role viewer; .* needs the role operator\.$/;
    const admin = /^eve has the role viewer; .* needs the role admin, without a scope\.$/;
    const last = (await (await fetch(`${cluster.api}/v1/status`, { headers: { Authorization: `Bearer ${tokens.eve}` } })).json()).revision;
    for (const [path, why, ...names] of [
      ['/nodes', admin, 'Add a node', 'Stop node1', 'Restart node1', 'Log of node1', 'Decommission node1'],
      ['/routes', operator, 'Add a route'],
      ['/routes?destination=10.1.0.0/16', operator, 'Change the route via 192.168.1.1', 'Withdraw the route via 192.168.1.1', 'Add a candidate'],
      ['/topology?router=ams1', operator, 'Router', 'Link', 'Drain'],
      ['/topology?link=ams1/fra1/', operator, 'Take down', 'Change costs', 'Remove'],
      [`/history?revision=${last}`, operator, 'Roll back'],
      ['/kv', operator, 'Add a key'],
      ['/kv?key=site/name', operator, 'Change', 'Delete'],
    ]) {
      await browser.go(page, path);
      await page.getByRole('note').filter({ hasText: 'eve has the role viewer' }).waitFor();
      for (const name of names) await refused(name, why);
      if (['/nodes', '/topology?link=ams1/fra1/'].includes(path)) assert.deepEqual(await browser.violations(page), [], path);
      await browser.shoot(page, `viewer${path.replace(/[^a-z]+/g, '-')}`);
    }
    await page.getByRole('dialog').getByLabel('Value').getByText('core one').waitFor();
    // Who comes by an address is told by the server.
    await browser.go(page, '/routes?add=yes');
    const form = page.getByRole('dialog');
    await form.getByLabel('Destination').fill('10.9.0.0/16');
    await form.getByLabel('Next hop', { exact: true }).fill('192.168.9.1');
    await form.getByText(/This would be refused:.*eve has viewer/).waitFor();
    await button('Add', form).click();
    await form.getByText('Not allowed').or(form.getByText('Forbidden')).first().waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('add');
    await page.getByRole('option', { name: /^Keys that begin with/ }).waitFor();
    assert.equal(await page.getByRole('option', { name: 'Add a route' }).count(), 0);
    await page.keyboard.press('Escape');
  });

  test('a role that is given counts at once', async () => {
    browser.expects(403);
    await browser.go(page, '/routes');
    await refused('Add a route', /viewer/);
    cluster.dvr('auth', 'role', 'grant', 'eve', 'operator', ...cluster.alice);
    await button('Add a route').and(page.locator(':not([disabled])')).waitFor();
    await page.getByRole('note').waitFor({ state: 'detached' });
  });

  test('a token that is revoked is asked for again, with the reason', async () => {
    browser.expects(401);
    cluster.dvr('auth', 'token', 'revoke', tokens.eve.split('_')[1], ...cluster.alice);
    await dialog().getByText(/revoked|not known|unknown|no such token/i).waitFor();
    await signIn('kim');
  });

  test('an operator of some keys changes these, as who it is', async () => {
    browser.expects(401, 403);
    await browser.go(page, '/routes');
    await refused('Add a route', /^kim has the role operator; .* its scope does not reach so far\.$/);
    await browser.go(page, '/kv');
    await button('Add a key').click();
    const form = page.getByRole('dialog');
    await form.getByLabel('Key').fill('other/name');
    await form.getByLabel('Value').fill('x');
    await button('Add', form).click();
    await form.getByRole('alert').getByText(/kim/).waitFor();
    await form.getByLabel('Key').fill('site/city');
    await button('Add', form).click();
    await form.getByLabel('Value').getByText('x').waitFor();
    const commits = JSON.parse(cluster.dvr('log', 'list', '--limit', '1', '-o', 'json', ...cluster.alice));
    const [commit] = Array.isArray(commits) ? commits : commits.commits;
    assert.deepEqual([commit.actor, commit.for], ['kim', undefined]);
  });

  test('who signs out in one tab is still signed in in another, which goes on hearing', async () => {
    browser.expects(401);
    await browser.go(page, '/');
    const other = await page.context().newPage();
    await other.goto(`${cluster.base}/#/`);
    const form = other.getByRole('dialog', { name: 'Sign in' });
    await form.getByLabel('Token').fill(tokens.alice);
    await button('Sign in', form).click();
    await other.getByText('Signed in as alice, admin').waitFor();
    await signOut();
    assert.equal((await kept())[0], null);
    cluster.dvr('kv', 'put', 'site/tabs', 'two', ...cluster.alice);
    await other.getByText('site/tabs').first().waitFor();
    await other.getByRole('status').getByText('Live').waitFor();
    await other.goto(`${cluster.base}/#/nodes`);
    await button('Stop node1', other).and(other.locator(':not([disabled])')).waitFor();
    await other.close();
    // The token of a tab that is closed reads nothing any more.
    await page.getByRole('status').getByText('Not signed in').waitFor();
  });

  test('the API reference asks for the token of the tab, and shows none', async () => {
    browser.expects(401);
    await page.goto(`${cluster.base}/docs`);
    await page.getByText('is asked for by this cluster').waitFor();
    const call = page.locator('#getStatus');
    await call.locator('summary').first().click();
    await page.getByLabel('Token').fill('dvr_wrong');
    await page.keyboard.press('Tab');
    await page.getByText('is not known').waitFor();
    await page.getByLabel('Token').fill(tokens.alice);
    await page.keyboard.press('Tab');
    await page.getByText('is known').waitFor();
    await eventually('the nodes', async () => (await page.getByLabel('Calls of nodes go to').inputValue()) === 'node1');
    await call.getByRole('button', { name: 'Send' }).click();
    await call.getByText('200 OK').waitFor();
    await call.getByText('Authorization: Bearer $DVR_TOKEN').waitFor();
    assert.ok(!(await page.locator('body').innerText()).includes(tokens.alice));
    assert.deepEqual(await browser.violations(page), []);
    await page.goto(`${cluster.base}/#/`); // the same tab is signed in on the dashboard
    await page.getByText('Signed in as alice, admin').waitFor();
    await signOut();
  });

  test('a node’s own page asks, too', async () => {
    browser.expects(401);
    const own = await browser.another(cluster.api);
    const before = page;
    try {
      page = await own.open('/nodes');
      await dialog().waitFor();
      await signIn('alice');
      await page.getByRole('row', { name: /^node1/ }).waitFor();
      await refused('Stop node1', /launcher/);
      assert.deepEqual(own.faults, []);
    } finally {
      page = before;
      await own.stop();
    }
  });

  test('nothing was complained of, and nothing asked of others', () => assert.deepEqual(browser.faults, []));
});
