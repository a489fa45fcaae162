// Forms and tables when something comes between: another person, a lost answer, an address that was made up.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Browser, Cluster, eventually, missing } from './cluster.mjs';

const skip = missing();

describe('what comes between', { skip: skip || false }, () => {
  /** @type {Cluster} */ let cluster;
  /** @type {Browser} */ let browser;
  let page;

  before(async () => {
    cluster = await Cluster.start(1, false);
    browser = await Browser.start(cluster.base);
    page = await browser.open('/');
    await page.locator('h1').waitFor();
  });
  beforeEach((t) => browser?.begin(t.name));
  after(async () => {
    await browser?.stop();
    await cluster?.stop();
  });

  const dialog = () => page.getByRole('dialog').last();
  const button = (name, within = page) => within.getByRole('button', { name, exact: true });
  const head = async () => (await cluster.must('GET', '/v1/status')).revision;

  test('an address of the page names one thing, and reaches no other', async () => {
    browser.expects(400, 404);
    await cluster.must('PUT', '/v1/routers/r1', { description: 'not to be reached' });
    await cluster.must('PUT', '/v1/links/r2/r3', { cost_ab: 1, cost_ba: 1 });
    const link = page.getByRole('region', { name: 'Link', exact: true });
    for (const [id, told] of [['../routers\\r1', /No browser can ask for what is called \.\./], ['x/..', /No browser can ask/], ['x/..\\..\\routers\\r1', /must be a router/], ['r2', /./]]) {
      await browser.go(page, `/topology?link=${encodeURIComponent(id)}`);
      await link.getByRole('alert').getByText(told).first().waitFor();
      assert.equal(await button('Remove', link).count(), 0, id);
    }
    await browser.go(page, `/routes?destination=${encodeURIComponent('../v1/routers/r1')}`);
    await dialog().getByRole('alert').first().waitFor();
    assert.equal((await cluster.call('GET', '/v1/routers/r1')).status, 200);
    await browser.go(page, '/topology?link=r2/r3/');
    await button('Remove', link).waitFor();
  });

  test('a key that no browser can ask for is said to be one', async () => {
    await cluster.must('POST', '/v1/commits', { events: [{ kind: 'key.put', key: '..', value: 'two dots' }] });
    await browser.go(page, '/kv');
    await page.getByRole('link', { name: '..', exact: true }).click();
    await dialog().getByText('No browser can ask for what is called ..').waitFor();
    const before = await head();
    await browser.go(page, '/kv?add=yes');
    await dialog().getByLabel('Key', { exact: true }).fill('.');
    await dialog().getByLabel('Value').fill('one dot');
    await button('Add', dialog()).click();
    await dialog().getByText('No browser can ask for what is called .:').waitFor();
    assert.equal(await head(), before);
    // With more around them dots are letters like others.
    await dialog().getByLabel('Key', { exact: true }).fill('a/../b');
    await button('Add', dialog()).click();
    await eventually('a/../b', async () => (await cluster.must('GET', '/kv/a%2F..%2Fb')).value === 'one dot');
  });

  test('the ends of lines of a value stay as they were', async () => {
    const values = { crlf: 'a\r\nb\r\n', lf: 'a\nb\n' };
    for (const [key, value] of Object.entries(values)) {
      await cluster.must('PUT', `/kv/${key}`, { value });
      await browser.go(page, `/kv?key=${key}`);
      await button('Change', dialog()).click();
      await dialog().getByRole('textbox', { name: 'Value' }).press('Control+End');
      await page.keyboard.type('c');
      await button('Save', dialog()).click();
      await eventually(key, async () => (await cluster.must('GET', `/kv/${key}`)).value === `${value}c`);
    }
    await cluster.must('PUT', '/kv/mixed', { value: 'a\r\nb\nc\r' });
    await browser.go(page, '/kv?key=mixed');
    await button('Change', dialog()).click();
    await dialog().getByText('Its lines end in different ways').waitFor();
    assert.ok(await button('Save', dialog()).isDisabled());
    await page.keyboard.press('Escape');
  });

  test('a route that was withdrawn while it was changed is said to be, and may be added anew', async () => {
    browser.expects(412, 'ERR_CONNECTION_REFUSED');
    await cluster.must('POST', '/routes', { destination: '10.1.0.0/16', next_hop: '192.168.1.1', metric: 1 });
    await browser.go(page, '/routes?destination=10.1.0.0/16');
    await button('Change the route via 192.168.1.1').click();
    await dialog().getByLabel('Metric').fill('7');
    await dialog().getByText('1 item changed').waitFor(); // a preview would find the conflict itself
    await cluster.must('DELETE', '/routes/10.1.0.0/16');
    await button('Save', dialog()).click();
    await dialog().getByText('Somebody else changed this route meanwhile').waitFor();
    await page.route(/\/v1\/routes\?within=10\.1/, (route) => route.abort('connectionrefused'));
    await button('Show what is there now').click();
    await dialog().getByText('does not answer').waitFor();
    assert.ok(await button('Save', dialog()).isDisabled());
    await page.unroute(/\/v1\/routes\?within=10\.1/);
    await button('Show what is there now').click();
    await dialog().getByText('it was withdrawn').waitFor();
    await button('Add it anew', dialog()).click();
    await eventually('metric 7', async () => (await cluster.call('GET', '/routes/10.1.0.0/16')).body.candidates?.[0].metric === 7);
  });

  test('a route that is added replaces no other unseen', async () => {
    browser.expects(412);
    await cluster.must('POST', '/routes', { destination: '10.2.0.0/16', next_hop: '2001:db8::1', metric: 5, tags: ['theirs'] });
    const candidates = async () => (await cluster.must('GET', '/routes/10.2.0.0/16')).candidates.map((c) => `${c.next_hop} ${c.metric} ${c.tags ?? ''}`).sort();
    await browser.go(page, '/routes?add=yes');
    await dialog().getByLabel('Destination').fill('10.2.0.0/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('2001:db8::1');
    await dialog().getByLabel('Metric').fill('9');
    await button('Add', dialog()).click();
    const asked = dialog().getByText('There is such a route already');
    await asked.waitFor();
    await dialog().getByText(/metric 5.*tags theirs/).first().waitFor();
    assert.deepEqual(await candidates(), ['2001:db8::1 5 theirs']);
    // Of another route nothing has been asked yet.
    await dialog().getByLabel('Next hop', { exact: true }).fill('2001:db8::2');
    await asked.waitFor({ state: 'detached' });
    await button('Add', dialog()).click();
    await eventually('both', async () => (await candidates()).length === 2);
    assert.deepEqual(await candidates(), ['2001:db8::1 5 theirs', '2001:db8::2 9 ']);

    await browser.go(page, '/routes?add=yes');
    await dialog().getByLabel('Destination').fill('10.2.0.0/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('2001:db8::1');
    await dialog().getByLabel('Metric').fill('8');
    await button('Add', dialog()).click();
    // What was looked at is what may be replaced.
    await asked.waitFor();
    await cluster.must('POST', '/routes', { destination: '10.2.0.0/16', next_hop: '2001:db8::1', metric: 6, tags: ['theirs'] });
    await button('Save over it', dialog()).click();
    await dialog().getByText(/metric 6.*tags theirs/).first().waitFor();
    assert.deepEqual((await candidates())[0], '2001:db8::1 6 theirs');
    await button('Save over it', dialog()).click();
    await eventually('metric 8', async () => (await candidates())[0] === '2001:db8::1 8 ');
  });

  /** lost lets the next call of this method reach the cluster, and its answer not the page; tells of each its Idempotency-Key. */
  async function lost(method, url) {
    const keys = [];
    await page.route(url, async (route) => {
      const r = route.request();
      if (r.method() !== method || r.url().includes('dry_run')) return route.continue();
      keys.push(r.headers()['idempotency-key']);
      if (keys.length > 1) return route.continue();
      await route.fetch();
      await route.abort('connectionrefused');
    });
    return keys;
  }
  const unknown = () => dialog().getByText('whether this was done is not known').waitFor();

  test('an answer that is lost is not taken for a refusal; sent again it is the same change', async () => {
    browser.expects(412, 'ERR_CONNECTION_REFUSED');
    let keys = await lost('PUT', '**/kv/**');
    await browser.go(page, '/kv?add=yes');
    await dialog().getByLabel('Key', { exact: true }).fill('lost');
    await dialog().getByLabel('Value').fill('one');
    await button('Add', dialog()).click();
    await unknown();
    const stored = await head();
    await button('Add', dialog()).click();
    await dialog().getByLabel('Value').getByText('one').waitFor();
    assert.equal(keys[1], keys[0]);
    assert.equal(await head(), stored, 'it was done twice');
    await page.unroute('**/kv/**');

    // With another content it is another change: here one that the first stands in the way of.
    keys = await lost('PUT', '**/kv/**');
    await browser.go(page, '/kv?add=yes');
    await dialog().getByLabel('Key', { exact: true }).fill('lost too');
    await dialog().getByLabel('Value').fill('one');
    await button('Add', dialog()).click();
    await unknown();
    await dialog().getByLabel('Value').fill('two');
    await button('Add', dialog()).click();
    await dialog().getByText('There is such a key already').waitFor();
    assert.notEqual(keys[1], keys[0]);
    await page.unroute('**/kv/**');

    keys = await lost('POST', /\/routes(\?|$)/);
    await browser.go(page, '/routes?add=yes');
    await dialog().getByLabel('Destination').fill('10.3.0.0/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('192.168.3.1');
    await button('Add', dialog()).click();
    await unknown();
    const added = await head();
    await button('Add', dialog()).click();
    await dialog().getByText('via 192.168.3.1').waitFor();
    assert.equal(keys[1], keys[0]);
    assert.equal(await head(), added, 'it was done twice');
    await page.unroute(/\/routes(\?|$)/);

    keys = await lost('DELETE', '**/routes/**');
    await button('Withdraw the route via 192.168.3.1').click();
    await button('Withdraw', dialog()).click();
    await unknown();
    assert.equal((await cluster.call('GET', '/routes/10.3.0.0/16')).status, 404);
    await page.unroute('**/routes/**');
    await browser.go(page, '/');
  });

  test('a name that no header can carry is said to be one', async () => {
    const p = await browser.open('/', {});
    await p.evaluate(() => localStorage.setItem('actor', 'Łukasz'));
    await browser.go(p, '/kv?add=yes');
    await p.getByLabel('Key', { exact: true }).fill('named');
    await p.getByLabel('Value').fill('one');
    await button('Add', p.getByRole('dialog')).click();
    await p.getByText('The name that changes carry, Łukasz,').waitFor();
    await p.context().close();
  });

  test('a table that could not be loaded is loaded again by itself, though nothing happens', async () => {
    browser.expects('ERR_CONNECTION_REFUSED');
    await cluster.must('POST', '/routes', { destination: '10.7.0.0/16', next_hop: '192.168.7.1' });
    const recovers = async (url, path) => {
      const p = await browser.open('/');
      let asked = 0;
      await p.route(url, (route) => (asked++ < 3 ? route.abort('connectionrefused') : route.continue()));
      await browser.go(p, path);
      const told = p.getByRole('main').getByText('The page tries again by itself');
      await told.waitFor();
      await p.getByRole('row').getByText('10.7.0.0/16').waitFor();
      await told.waitFor({ state: 'detached' });
      assert.ok(asked > 3);
      await p.context().close();
    };
    await Promise.all([recovers(/\/v1\/routes\?/, '/routes'), recovers(/\/v1\/commits\?/, '/history')]);
  });

  test('of commits only those that are not retained are said to be gone', async () => {
    browser.expects(410);
    for (let i = 0; i < 8; i++) await cluster.must('PUT', '/kv/retained', { value: String(i) });
    const p = await browser.open('/', { viewport: { width: 1360, height: 2400 } });
    // What a node answers whose log begins with commit 6.
    await p.route(/\/v1\/commits\?/, async (route) => {
      const after = Number(new URL(route.request().url()).searchParams.get('after'));
      if (after >= 5) return route.continue();
      await route.fulfill({ status: 410, contentType: 'application/problem+json', json: { type: '/problems/gone', title: 'No longer retained', status: 410, detail: `commits after revision ${after}`, oldest_revision: 5 } });
    });
    await browser.go(p, '/history');
    const row = (n) => p.getByRole('row').filter({ has: p.getByRole('link', { name: String(n), exact: true }) });
    await row(5).getByText('no longer retained').waitFor();
    await row(6).locator('time').waitFor();
    await row(1).getByText('no longer retained').waitFor();
    await p.context().close();
  });

  test('nothing was complained of, and nothing asked of others', () => assert.deepEqual(browser.faults, []));
});
