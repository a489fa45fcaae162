// The dashboard in a real browser against a real cluster: every page, every action through to its effect.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Browser, Cluster, eventually, missing } from './cluster.mjs';

const skip = missing();

describe('dashboard', { skip: skip || false }, () => {
  /** @type {Cluster} */ let cluster;
  /** @type {Browser} */ let browser;
  let page;

  before(async () => {
    cluster = await Cluster.start(3, false);
    browser = await Browser.start(cluster.base);
    for (const r of ['fra1', 'ams1', 'lon1']) await cluster.must('PUT', `/v1/routers/${r}`, { description: `core ${r}` });
    await cluster.must('PUT', '/v1/links/fra1/ams1', { cost_ab: 3, cost_ba: 3, interface_a: 'eth0', interface_b: 'eth0' });
    await cluster.must('PUT', '/v1/links/ams1/lon1', { cost_ab: 4, cost_ba: 4, interface_a: 'eth0', interface_b: 'eth0' });
    await cluster.must('POST', '/routes?reason=first', { destination: '10.1.0.0/16', next_hop: '192.168.1.1', metric: 100 });
    await cluster.must('POST', '/routes', { destination: '10.2.0.0/16', next_hop: '192.168.2.1', metric: 10, router: 'lon1' });
    await cluster.must('PUT', '/kv/site%2Fname', { value: 'core one' });
    await cluster.must('PUT', '/kv/strange%2F%2F..%20%3Cb%3E', { value: '<script>window.pwned = 1</script>' });
    page = await browser.open('/');
  });
  beforeEach((t) => browser?.begin(t.name));
  after(async () => {
    await browser?.stop();
    await cluster?.stop();
  });

  const dialog = () => page.getByRole('dialog');
  const button = (name, within = page) => within.getByRole('button', { name, exact: true });

  test('answers whether all is well', async () => {
    await browser.fine(page);
    await page.getByText('3 of 3').waitFor();
    await page.getByText('<script>window.pwned = 1</script>').waitFor();
    assert.equal(await page.evaluate('window.pwned'), undefined);
  });

  test('an address asked for while the page starts is gone to', async () => {
    const context = await browser.chromium.newContext();
    const p = await context.newPage();
    let goOn;
    const held = new Promise((done) => (goOn = done));
    const late = /immutable\/nodes\/[1-9]/; // what the router asks for when it has begun
    await p.route(late, async (route) => {
      await held;
      await route.continue();
    });
    const starting = p.waitForRequest(late);
    await p.goto(`${cluster.base}/#/`, { waitUntil: 'commit' });
    await starting;
    await p.evaluate(() => (location.hash = '#/nodes'));
    goOn();
    await p.getByRole('heading', { name: 'Nodes' }).waitFor();
    assert.equal(p.url(), `${cluster.base}/#/nodes`);
    await context.close();
  });

  test('a change made elsewhere shows without a reload', async () => {
    const { revision } = await cluster.must('PUT', '/kv/live', { value: 'seen' });
    await page.getByRole('link', { name: String(revision), exact: true }).waitFor();
  });

  test('routes: add, the server’s errors at the field, change, withdraw', async () => {
    browser.expects(400);
    await browser.go(page, '/routes');
    await page.getByText('2 routes').waitFor();
    assert.ok((await page.getByRole('table', { name: 'Routes' }).boundingBox()).height < 150, 'two routes fill the page');
    assert.equal(await page.getByRole('rowgroup', { name: 'Routes' }).evaluate((e) => e.scrollHeight - e.clientHeight > 0), false, 'two rows are scrolled');
    await button('Add a route').click();
    await dialog().getByLabel('Destination').fill('10.9.0.1/16');
    await dialog().getByLabel('Next hop', { exact: true }).fill('192.168.9.1');
    await button('Add', dialog()).click();
    await dialog().getByText('has host bits set; the prefix is 10.9.0.0/16').waitFor();
    assert.equal(await dialog().getByLabel('Destination').getAttribute('aria-invalid'), 'true');
    await dialog().getByLabel('Destination').fill('10.9.0.0/16');
    await dialog().getByLabel('Reason').fill('from the page');
    await button('Add', dialog()).click();
    await dialog().getByText('via 192.168.9.1').waitFor();
    const { body } = await cluster.call('GET', '/routes/10.9.0.0/16');
    assert.equal(body.candidates[0].next_hop, '192.168.9.1');
    const commit = await cluster.must('GET', `/v1/commits/${body.candidates[0].revision}`);
    assert.deepEqual([commit.reason, commit.actor], ['from the page', 'dashboard']);

    await button('Change the route via 192.168.9.1').click();
    const form = dialog().last();
    await form.getByLabel('Metric').fill('77');
    await button('Save', form).click();
    await dialog().getByText('metric 77').first().waitFor();
    await eventually('metric 77', async () => (await cluster.must('GET', '/routes/10.9.0.0/16')).candidates[0].metric === 77);
    await button('Withdraw the route via 192.168.9.1').click();
    await button('Withdraw', dialog().last()).click();
    await dialog().getByText('There is no such route any more').waitFor();
    assert.equal((await cluster.call('GET', '/routes/10.9.0.0/16')).status, 404);
    await button('Close', dialog()).click();
  });

  test('two people edit one route: the second is told, and sees both', async () => {
    browser.expects(412);
    const other = await browser.open('/routes?destination=10.1.0.0/16');
    await browser.go(page, '/routes?destination=10.1.0.0/16');
    for (const [p, metric] of [[page, '111'], [other, '222']]) {
      await button('Change the route via 192.168.1.1', p).click();
      await p.getByRole('dialog').last().getByLabel('Metric').fill(metric);
      // A preview that is asked for after the other's change would find the conflict, and refuse to save at all.
      await p.getByRole('region', { name: 'What follows' }).getByText('1 item changed').waitFor();
    }
    await button('Save', page.getByRole('dialog').last()).click();
    await page.getByText('metric 111').first().waitFor();
    await button('Save', other.getByRole('dialog').last()).click();
    await other.getByText('Somebody else changed this route meanwhile').waitFor();
    assert.equal((await cluster.must('GET', '/routes/10.1.0.0/16')).candidates[0].metric, 111);
    await button('Show what is there now', other).click();
    await other.getByText('metric 111').first().waitFor();
    await button('Save over it', other).click();
    await eventually('222', async () => (await cluster.must('GET', '/routes/10.1.0.0/16')).candidates[0].metric === 222);
    await other.context().close();
  });

  test('routes: an address, a prefix, a next hop, nothing', async () => {
    browser.expects(400);
    await browser.go(page, '/routes');
    await page.getByLabel('Prefix or address').fill('10.1.2.3');
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: 'Longest match' }).getByText('10.1.0.0/16').waitFor();
    await page.getByText('1 route match').waitFor();
    await page.getByLabel('Prefix or address').fill('10.2.0.0/15');
    await page.keyboard.press('Enter');
    await page.getByRole('row', { name: /10\.2\.0\.0\/16/ }).waitFor();
    await page.getByLabel('Prefix or address').fill('10.2.0.1/15');
    await page.keyboard.press('Enter');
    await page.getByText('has host bits set; the prefix is 10.2.0.0/15').waitFor();
    await cluster.must('POST', '/routes', { destination: '10.77.0.0/16', next_hop: '192.168.1.1', tags: ['core', 'transit'] });
    await browser.go(page, '/routes');
    await page.getByLabel('Tag').fill('transit');
    await page.keyboard.press('Enter');
    await page.getByText('1 route match').waitFor();
    await page.getByRole('row', { name: /10\.77\.0\.0\/16.*core transit/ }).waitFor();
    await browser.go(page, '/routes');
    await page.getByRole('combobox', { name: 'Router' }).selectOption('lon1');
    await page.getByText('1 route match').waitFor();
    await page.getByRole('row', { name: /10\.2\.0\.0\/16/ }).waitFor();
    await browser.go(page, '/routes?next_hop=203.0.113.9');
    await page.getByText('No route matches').waitFor();
  });

  test('a route that one router has is explained as that router sees it, or another', async () => {
    browser.expects(404);
    await browser.go(page, '/routes?next_hop=192.168.2.1');
    await page.getByRole('link', { name: '10.2.0.0/16' }).click();
    await dialog().getByText('chosen', { exact: true }).waitFor();
    assert.equal(await dialog().getByLabel('As seen from').inputValue(), 'lon1');
    await dialog().getByLabel('As seen from').selectOption('fra1');
    await dialog().getByText('is reached through ams1').waitFor();
    assert.match(page.url(), /next_hop=192\.168\.2\.1.*from=fra1/);
    await dialog().getByLabel('As seen from').selectOption('*');
    await dialog().getByText('None can be used here').waitFor();
    await browser.go(page, '/routes?address=10.2.0.9');
    const match = page.getByRole('region', { name: 'Longest match' });
    await match.getByText('No route of every router (*) covers').waitFor();
    await match.getByRole('link', { name: 'ams1' }).click();
    await match.getByText('as seen from ams1').waitFor();
  });

  test('forms say at the field what the server says, of fields that are empty, too', async () => {
    browser.expects(400);
    const at = async (form, label, why) => {
      const field = form.getByLabel(label, { exact: true });
      await field.and(page.locator('[aria-invalid=true]')).waitFor();
      assert.match(await page.locator(`#${(await field.getAttribute('aria-describedby')).split(' ')[0]}`).textContent(), why, label);
    };
    await browser.go(page, '/routes?add=yes');
    await button('Add', dialog()).click();
    await at(dialog(), 'Destination', /./);
    await dialog().getByLabel('Destination').fill('10.8.0.0/16');
    for (const [label, bad, good, why] of [['Next hop', 'here', '192.0.2.1', /./], ['Metric', 'x', '1', /./], ['Router', 'a b', '*', /./], ['Tags', 'x'.repeat(64), 'a', /longer than 63/]]) {
      await dialog().getByLabel(label, { exact: true }).fill(bad);
      await button('Add', dialog()).click();
      await at(dialog(), label, why);
      await dialog().getByLabel(label, { exact: true }).fill(good);
    }
    await dialog().getByText('Preference, weight').click();
    for (const [label, bad, good] of [['Preference', '-1', '1'], ['Weight', '0', '1'], ['Interface', 'a/b', '']]) {
      await dialog().getByLabel(label, { exact: true }).fill(bad);
      await button('Add', dialog()).click();
      await at(dialog(), label, /./);
      await dialog().getByLabel(label, { exact: true }).fill(good);
    }
    await browser.go(page, '/kv?add=yes');
    await button('Add', dialog()).click();
    await at(dialog(), 'Key', /./);
    await browser.go(page, '/topology');
    await button('Router').click();
    await button('Add', dialog()).click();
    await at(dialog(), 'Router', /./);
    await dialog().getByLabel('Router', { exact: true }).fill('a b');
    await button('Add', dialog()).click();
    await at(dialog(), 'Router', /./);
    await button('Cancel', dialog()).click();
    await button('Link').click();
    await button('Add', dialog()).click();
    await at(dialog(), 'Router', /./);
    await dialog().getByLabel('Router', { exact: true }).fill('fra1');
    await button('Add', dialog()).click();
    await at(dialog(), 'Other router', /./);
    await dialog().getByLabel('Other router').fill('par1');
    await dialog().getByLabel('Cost, both ways').fill('much');
    await button('Add', dialog()).click();
    await at(dialog(), 'Cost, both ways', /./);
    await browser.go(page, '/nodes');
    await button('Add a node').click();
    await dialog().getByLabel('Name').fill('');
    await button('Add', dialog()).click();
    await at(dialog(), 'Name', /./);
    for (const [params, label] of [['next_hop=here', 'Next hop'], ['within=10.1.0.1/8', 'Prefix or address']]) {
      await browser.go(page, `/routes?${params}`);
      await at(page, label, /./);
    }
  });

  test('a long table scrolls to any place', async () => {
    const lines = Array.from({ length: 30_000 }, (_, i) => JSON.stringify({ destination: `20.${i >> 8}.${i & 255}.0/24`, next_hop: '192.0.2.1' })).join('\n');
    const r = await fetch(`${cluster.api}/v1/routes/import`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: lines });
    assert.equal(r.status, 200, await r.text());
    await browser.go(page, '/routes?within=20.0.0.0/8');
    await page.getByText('30,000 routes').waitFor();
    const box = page.getByRole('rowgroup', { name: 'Routes' });
    assert.ok((await page.getByRole('row').count()) < 100, 'all rows are in the page');
    await box.evaluate((e) => (e.scrollTop = e.scrollHeight));
    await page.getByRole('row', { name: /20\.117\.47\.0\/24/ }).waitFor();
    await box.evaluate((e) => (e.scrollTop = 15_000 * 34));
    await page.getByRole('row', { name: /20\.58\.152\.0\/24/ }).waitFor();
  });

  test('keys: add, refuse to add twice, conflict, history, delete', async () => {
    browser.expects(412);
    await browser.go(page, '/kv');
    await button('Add a key').click();
    await dialog().getByLabel('Key').fill('a/b c');
    await dialog().getByLabel('Value').fill('one');
    await button('Add', dialog()).click();
    await dialog().getByLabel('Value').getByText('one').waitFor();
    await button('Change', dialog()).click();
    await cluster.must('PUT', '/kv/a%2Fb%20c', { value: 'theirs' });
    await dialog().last().getByRole('textbox', { name: 'Value' }).fill('mine');
    await button('Save', dialog().last()).click();
    await page.getByText('Somebody else changed this key meanwhile').waitFor();
    assert.equal((await cluster.must('GET', '/kv/a%2Fb%20c')).value, 'theirs');
    await button('Show what is there now').click();
    await button('Save over it').click();
    await eventually('mine', async () => (await cluster.must('GET', '/kv/a%2Fb%20c')).value === 'mine');
    await dialog().getByRole('listitem').nth(2).waitFor();
    await button('Delete', dialog()).click();
    await button('Delete', dialog().last()).click();
    await eventually('deleted', async () => (await cluster.call('GET', '/kv/a%2Fb%20c')).status === 404);
    await browser.go(page, '/kv?add=yes');
    await dialog().getByLabel('Key').fill('site/name');
    await dialog().getByLabel('Value').fill('again');
    await button('Add', dialog()).click();
    await page.getByText('There is such a key already').waitFor();
    await browser.go(page, '/kv?prefix=strange');
    await page.getByRole('link', { name: 'strange//.. <b>' }).click();
    await dialog().getByLabel('Value').getByText('window.pwned').waitFor();
  });

  test('history: a commit and what it did, and the past of a page', async () => {
    await browser.go(page, '/history');
    await page.getByRole('row', { name: /dashboard/ }).first().waitFor();
    const { revision } = await cluster.must('PUT', '/kv/site%2Fname', { value: 'core two' });
    await browser.go(page, `/history?revision=${revision}`);
    await dialog().getByText('= core two').waitFor();
    await button('Show everything as it was then', dialog()).click();
    await cluster.must('PUT', '/kv/site%2Fname', { value: 'core three' });
    await browser.go(page, `/kv?at=${revision}&key=site/name`);
    await dialog().getByLabel('Value').getByText('core two').waitFor();
    await dialog().getByText('The past cannot be changed').waitFor();
    await browser.go(page, '/history?revision=1');
    await dialog().getByText('the log begins').waitFor();
    await dialog().getByText('epoch 1, created').waitFor();
    await cluster.must('PUT', '/v1/routers/ber1?not_before=8h', {});
    await browser.go(page, '/history');
    await page.getByRole('row', { name: /timer .* 1 change at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d/ }).waitFor();
    for (const [path, told] of [['/', 'Routes and changes as at revision 6'], ['/nodes', 'not shown as at revision 6'], ['/topology', 'at revision 6'], ['/history', 'Every change up to revision 6'], ['/planes', 'not shown as at revision 6'], ['/kv', 'as at revision 6'], ['/routes', 'at revision 6']]) {
      await browser.go(page, `${path}?at=6`);
      await page.getByRole('main').getByText(told).first().waitFor();
      assert.equal(await page.getByRole('slider').inputValue(), '6');
    }
    await button('Back to now').click();
    await page.getByText('at revision 6').waitFor({ state: 'detached' });
  });

  test('an address that names a time is that of the revision of then, and one that names none is said to be', async () => {
    browser.expects(400);
    const { time } = await cluster.must('GET', '/v1/commits/6');
    await browser.go(page, `/routes?at=${encodeURIComponent(time)}`);
    await page.getByRole('main').getByText('at revision 6').waitFor();
    assert.match(page.url(), /at=6$/);
    for (const wrong of ['abc', '0', '-5', '1.5']) {
      await browser.go(page, `/kv?at=${wrong}`);
      await page.getByRole('main').getByRole('alert').waitFor();
      assert.equal(await page.getByRole('link', { name: 'site/name' }).count(), 0, 'the present is shown');
    }
    await button('Show what is now').click();
    await page.getByRole('link', { name: 'site/name' }).waitFor();
  });

  test('topology: a path, a cost, a link down and up', async () => {
    browser.expects(400);
    await browser.go(page, '/topology?router=fra1&address=10.2.0.9');
    const way = page.getByRole('region', { name: 'Path' });
    await way.getByText('leaves to 192.168.2.1').waitFor();
    await browser.go(page, '/topology?link=ams1/fra1/');
    await button('Change costs').click();
    await page.getByLabel('ams1 → fra1').fill('0');
    await button('Save costs').click();
    await page.getByText(/must be/).waitFor();
    await page.getByLabel('ams1 → fra1').fill('9');
    await button('Save costs').click();
    await eventually('cost 9', async () => (await cluster.must('GET', '/v1/links/ams1/fra1')).cost_ab === 9);
    await button('Take down').click();
    await button('Take down', dialog()).click();
    await eventually('down', async () => (await cluster.must('GET', '/v1/links/ams1/fra1')).down);
    await button('Take up').click();
    await button('Take up', dialog()).click();
    await eventually('up', async () => !(await cluster.must('GET', '/v1/links/ams1/fra1')).down);
  });

  test('topology: a router and a link are added, a router drained and not any more, a link removed', async () => {
    browser.expects(412, 404); // the page asks for the link that it shows
    await browser.go(page, '/topology');
    await button('Router').click();
    await dialog().getByLabel('Router').fill('par1');
    await dialog().getByLabel('Description').fill('core par1');
    await button('Add', dialog()).click();
    await eventually('par1', async () => (await cluster.must('GET', '/v1/routers/par1')).description === 'core par1');
    await dialog().waitFor({ state: 'detached' });
    await button('Link').click();
    await dialog().getByLabel('Router', { exact: true }).fill('par1');
    await dialog().getByLabel('Other router').fill('lon1');
    await dialog().getByLabel('Cost, both ways').fill('7');
    await button('Add', dialog()).click();
    await eventually('the link', async () => (await cluster.must('GET', '/v1/links/lon1/par1')).cost_ab === 7);
    await button('Link').click();
    await dialog().getByLabel('Router', { exact: true }).fill('lon1');
    await dialog().getByLabel('Other router').fill('par1');
    await button('Add', dialog()).click();
    await dialog().getByText('There is such a link already').waitFor();
    await button('Cancel', dialog()).click();
    await browser.go(page, '/topology?router=par1');
    for (const [name, drained] of [['Drain', 'soft'], ['End the drain', undefined]]) {
      await button(name).click();
      await button(name, dialog()).click();
      await eventually(name, async () => (await cluster.must('GET', '/v1/routers/par1')).drained === drained);
      await dialog().waitFor({ state: 'detached' });
    }
    assert.equal((await cluster.must('GET', '/v1/routers/par1')).description, 'core par1');
    await page.getByRole('link', { name: 'lon1 – par1' }).click();
    await button('Remove').click();
    const gone = page.waitForResponse((r) => r.status() === 404 && r.url().includes('/v1/links/lon1/par1'));
    await button('Remove', dialog()).click();
    await gone;
    await eventually('removed', async () => (await cluster.call('GET', '/v1/links/lon1/par1')).status === 404);
    await browser.go(page, '/topology');
  });

  test('the map has its colours where motion is reduced, too', async () => {
    const p = await browser.open('/topology?router=fra1&address=10.2.0.9', { reducedMotion: 'reduce', colorScheme: 'light' });
    await p.getByRole('region', { name: 'Path' }).getByText('leaves to 192.168.2.1').waitFor();
    await eventually('the path in the accent colour', () =>
      p.evaluate(() => {
        const canvas = document.querySelector('canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4) if (data[i] === 0x1d && data[i + 1] === 0x4f && data[i + 2] === 0xd8) return true;
        return false;
      }),
    );
    await p.context().close();
  });

  test('every page, light and dark, desktop and phone, has no violation', async () => {
    const phone = { viewport: { width: 390, height: 844 }, isMobile: true };
    const looks = { light: { colorScheme: 'light' }, dark: { colorScheme: 'dark' }, 'light-phone': { colorScheme: 'light', ...phone }, 'dark-phone': { colorScheme: 'dark', ...phone } };
    const found = [];
    const look = async ([look, options]) => {
      const p = await browser.open('/', options);
      await browser.fine(p);
      for (const [name, path] of Object.entries({ overview: '/', nodes: '/nodes', routes: '/routes', route: '/routes?destination=10.1.0.0/16', 'route-form': '/routes?add=yes', topology: '/topology?router=fra1&address=10.2.0.9', history: '/history', commit: '/history?revision=6', planes: '/planes', kv: '/kv', key: '/kv?key=site/name', past: '/routes?at=7' })) {
        await browser.go(p, path);
        await p.locator('h1').waitFor();
        await p.waitForLoadState('networkidle', { timeout: 700 }).catch(() => {}); // the event stream never is
        for (const v of await browser.violations(p)) found.push(`${name} ${look}: ${v}`);
        const wide = await p.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) found.push(`${name} ${look}: ${wide} pixels wider than the screen`);
        await browser.shoot(p, `${name}-${look}`);
      }
      await p.context().close();
    };
    await Promise.all(Object.entries(looks).map(look)); // each waits most of its time
    assert.deepEqual(found, []);
  });

  test('times are local or UTC, colours dark or light, as the person says, and stay so', async () => {
    const p = await browser.open('/history?revision=2', { timezoneId: 'Asia/Kolkata', colorScheme: 'light' });
    const { time } = await cluster.must('GET', '/v1/commits/2');
    const shown = (zone) => new Date(time).toLocaleTimeString('en-GB', { timeZone: zone });
    const commit = p.getByRole('dialog');
    const when = commit.locator('time').first();
    await when.filter({ hasText: shown('Asia/Kolkata') }).waitFor();
    await button('Close', commit).click();
    await button('Times are local: show UTC', p).click();
    const dark = () => p.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
    assert.match(await dark(), /light/);
    await button('Dark colours', p).click();
    await browser.go(p, '/history?revision=2');
    await when.filter({ hasText: shown('UTC') }).waitFor();
    assert.equal(await dark(), 'dark');
    await p.context().close();
  });

  test('the keyboard reaches everything', async () => {
    await browser.go(page, '/');
    await page.locator('h1').waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('10.1.2.3');
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: 'Longest match' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('transit');
    await page.getByRole('option', { name: /Routes with the tag transit/ }).click();
    await page.getByText('1 route match').waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('lon1');
    await page.getByRole('option', { name: /Router lon1/ }).click();
    await page.getByRole('heading', { name: 'Topology' }).waitFor();
    assert.match(page.url(), /router=lon1/);
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('1,002');
    await page.getByRole('option', { name: /Commit 1,002/ }).waitFor();
    await page.keyboard.press('Escape');
    await browser.go(page, '/routes');
    await page.getByRole('heading', { name: 'Routes' }).click();
    await page.keyboard.press('g');
    await page.keyboard.press('h');
    await page.getByRole('heading', { name: 'History' }).waitFor();
  });

  test('an address of no page says so, and leads to the pages', async () => {
    await browser.go(page, '/nosuchpage?at=2');
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await page.getByRole('main').getByText('/nosuchpage').waitFor();
    assert.deepEqual(await browser.violations(page), []);
    await browser.shoot(page, 'no-such-page');
    await page.getByRole('main').getByRole('link', { name: 'Key-value' }).click();
    await page.getByRole('heading', { name: 'Key-value' }).waitFor();
    assert.match(page.url(), /at=2/);
    await browser.go(page, '/routes?destination=1.2.3.0/24');
    await dialog().getByText('There is no route to 1.2.3.0/24').waitFor();
  });

  test('a route of one router is seen from there by whoever comes from the last changes', async () => {
    await browser.go(page, '/routes?destination=10.2.0.0/16');
    await dialog().getByText('chosen', { exact: true }).waitFor();
    assert.equal(await dialog().getByLabel('As seen from').inputValue(), 'lon1');
    await cluster.must('POST', '/routes', { destination: '10.88.0.0/16', next_hop: '192.168.2.1', router: 'lon1' });
    await browser.go(page, '/');
    await page.getByRole('region', { name: 'Last changes' }).getByRole('link', { name: '10.88.0.0/16' }).click();
    await dialog().getByText('chosen', { exact: true }).waitFor();
    assert.match(page.url(), /from=lon1/);
  });

  test('nothing is said to be fine before the status was read', async () => {
    browser.expects('ERR_FAILED');
    const p = await browser.open('/nodes');
    await p.route(/\/v1\/status/, (route) => route.abort());
    await browser.go(p, '/');
    await p.getByRole('region', { name: 'Verdict' }).getByText('Asking the cluster').waitFor();
    await p.getByRole('status').getByText('Live').waitFor();
    assert.equal(await p.getByText('Everything is fine').count(), 0);
    await p.unroute(/\/v1\/status/);
    await browser.fine(p);
    await p.context().close();
  });

  test('the API reference is in the menu and in the palette, and back is where one was', async () => {
    await browser.go(page, '/kv?prefix=site');
    await page.getByRole('link', { name: 'API reference' }).click();
    await page.getByRole('searchbox', { name: 'Filter the calls' }).waitFor();
    assert.equal(new URL(page.url()).pathname, '/docs');
    await page.goBack();
    await page.getByRole('link', { name: 'site/name' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('reference');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname === '/docs');
    await page.goBack();
  });

  test('a page that the browser kept hears again, though its worker has ended', async () => {
    const own = await Browser.start(cluster.base, { ignoreDefaultArgs: ['--disable-back-forward-cache'] });
    try {
      const p = await own.open('/');
      await p.getByRole('status').getByText('Live').waitFor();
      await p.evaluate(() => (globalThis.kept = true));
      await p.goto(`${cluster.base}/docs`);
      const cdp = await own.chromium.newBrowserCDPSession();
      const workers = async () => (await cdp.send('Target.getTargets', { filter: [{ type: 'shared_worker' }] })).targetInfos;
      const [{ targetId }] = await workers();
      await cdp.send('Target.closeTarget', { targetId });
      await eventually('the end of the worker', async () => !(await workers()).length);
      await p.evaluate(() => history.back()).catch(() => {}); // page.goBack waits for a load, which there is none of
      await p.getByRole('heading', { name: 'Overview' }).waitFor();
      assert.ok(await p.evaluate(() => globalThis.kept), 'the page was not kept');
      const { revision } = await cluster.must('PUT', '/kv/kept', { value: 'heard' });
      await p.getByRole('link', { name: String(revision), exact: true }).waitFor();
      assert.deepEqual(own.faults, []);
    } finally {
      await own.stop();
    }
  });

  test('nodes: the leader stopped and started, a node added and decommissioned, its log', async () => {
    browser.expects(400, 502, 503);
    await browser.go(page, '/nodes');
    const leads = page.getByRole('row', { name: /^node\d .*leader/ }).first();
    await leads.waitFor();
    const leader = (await leads.getByRole('cell').first().textContent()).trim();
    await button(`Stop ${leader}`).click();
    await dialog().getByText(/2 of 3 voters are online, just enough.*another node is elected/).waitFor();
    await button('Stop', dialog()).click();
    await page.getByRole('row', { name: new RegExp(`^${leader}.*offline`) }).waitFor();
    await page.getByRole('row', { name: new RegExp(`^(?!${leader})node\\d .*leader`) }).waitFor();
    assert.ok(Object.values(await cluster.nodes()).every((n) => !n.is_leader || n.id !== leader));
    await browser.go(page, '/');
    await page.getByText(`${leader} is offline`).waitFor();
    await browser.go(page, '/nodes');
    await button(`Start ${leader}`).click();
    await page.getByRole('row', { name: new RegExp(`^${leader} (follower|leader)`) }).waitFor();

    await button('Add a node').click();
    await dialog().getByLabel('Name').fill('Node 4');
    await button('Add', dialog()).click();
    await dialog().getByRole('textbox', { name: 'Name' }).and(page.locator('[aria-invalid=true]')).waitFor();
    await dialog().getByLabel('Name').fill('node4');
    await dialog().getByLabel(/Without a vote/).check();
    await button('Add', dialog()).click();
    await page.getByRole('row', { name: /^node4.*observer/ }).waitFor();
    await button('Log of node4').click();
    await dialog().getByLabel('Lines').getByText(/INFO/).first().waitFor();
    assert.match(page.url(), /#\/nodes\?log=node4$/);
    await button('Close', dialog()).click();
    const { pid } = (await cluster.nodes()).node4;
    await button('Restart node4').click();
    await dialog().getByText('It stops and starts again with its data.').waitFor();
    await button('Restart', dialog()).click();
    await eventually('another process', async () => ((now) => now.status === 'online' && now.pid !== pid)((await cluster.nodes()).node4));
    await page.getByRole('row', { name: /^node4.*observer/ }).waitFor();
    await button('Decommission node4').click();
    assert.ok(await button('Decommission', dialog()).isDisabled());
    await dialog().getByLabel(/to confirm/).fill('node4');
    await button('Decommission', dialog()).click();
    await eventually('node4 is gone', async () => !('node4' in (await cluster.nodes())));
    await page.getByRole('row', { name: /^node4/ }).waitFor({ state: 'detached' });
  });

  test('the leader is killed while the page is open: one is elected, and the page goes on', async () => {
    browser.expects(502, 503);
    await browser.go(page, '/nodes');
    const { id, pid } = Object.values(await cluster.nodes()).find((n) => n.is_leader);
    process.kill(pid, 'SIGKILL');
    // It is started again at once, and may win the election.
    await page.getByRole('row', { name: new RegExp(`^${id} (follower|leader).*restarted once after a failure`) }).waitFor();
    await page.getByRole('row', { name: /^node\d leader/ }).waitFor();
    await page.getByRole('status').getByText('Live').waitFor();
    await browser.go(page, '/');
    const { revision } = await eventually('a change', async () => {
      const r = await cluster.call('PUT', '/kv/after', { value: 'the kill' });
      return r.status < 300 && r.body;
    });
    await page.getByRole('link', { name: String(revision), exact: true }).waitFor();
  });

  test('says that it hears nothing, and comes back', async () => {
    browser.expects(502, 503);
    for (const id of Object.keys(await cluster.nodes())) await fetch(`${cluster.base}/api/control/stop/${id}`, { method: 'POST' });
    await page.getByRole('status').getByText('No node is online').waitFor();
    await page.getByText(/No quorum: 0 of 3/).waitFor();
    await browser.go(page, '/');
    await page.getByRole('region', { name: 'Verdict' }).getByText(/No quorum: 0 of 3 voters are online/).waitFor();
    await page.getByRole('status').getByText('No node is online').waitFor();
    for (const [path, told] of [['/routes', /^No node is online: the page Nodes says why/], ['/history', 'No node answers'], ['/nodes', /No quorum: 0 of 3/]]) {
      await browser.go(page, path);
      await page.getByText(told).first().waitFor();
    }
    for (const id of Object.keys(await cluster.nodes())) await fetch(`${cluster.base}/api/control/start/${id}`, { method: 'POST' });
    await page.getByRole('status').getByText('Live').waitFor();
    await browser.go(page, '/');
    await browser.fine(page);
  });

  test('a node serves the page too: members are removed, promoted and made to lead; what needs a launcher says so', async () => {
    browser.expects(409, 503);
    const own = await browser.another(cluster.api);
    const before = page;
    try {
      page = await own.open('/nodes');
      await page.getByText('cannot be started, stopped or added here').waitFor();
      const members = async () => (await cluster.must('GET', '/v1/cluster/members')).members;
      await page.getByRole('row', { name: /^node3/ }).waitFor();
      for (const name of ['Add a node', 'Stop node1', 'Restart node1', 'Log of node1']) {
        assert.ok(await button(name).isDisabled(), name);
        assert.match(await button(name).getAttribute('title'), /needs the launcher/);
      }
      const leader = (await members()).find((m) => m.leader).node_id;
      const next = leader === 'node2' ? 'node3' : 'node2';
      assert.equal(await button(`Make ${leader} lead`).getAttribute('title'), 'It leads already');
      await button(`Make ${next} lead`).click();
      await button('Move leadership', dialog()).click();
      await eventually(`${next} leads`, async () => (await members()).find((m) => m.leader)?.node_id === next);
      await page.getByRole('row', { name: new RegExp(`^${next} leader`) }).waitFor();

      // A node that was admitted and has never started has not caught up.
      await cluster.must('POST', '/v1/cluster/members', { node_id: 'node9', raft: '127.0.0.1:9', api: '127.0.0.1:9', fib: '127.0.0.1:9', client: '127.0.0.1:9' });
      const learner = page.getByRole('row', { name: /learner/ });
      await learner.getByRole('button', { name: /^Promote/ }).click();
      await button('Promote', dialog()).click();
      await dialog().getByRole('alert').getByText(/caught up|learner/).first().waitFor();
      await button('Cancel', dialog()).click();
      await learner.getByRole('button', { name: /^Remove/ }).click();
      const word = (await dialog().locator('label b').textContent()) ?? '';
      assert.ok(await button('Remove', dialog()).isDisabled());
      await dialog().getByLabel(/to confirm/).fill(word);
      await button('Remove', dialog()).click();
      await learner.waitFor({ state: 'detached' });
      assert.deepEqual((await members()).map((m) => m.node_id).sort(), ['node1', 'node2', 'node3']);

      await button('Remove node3').click();
      await dialog().getByText(/2 voters remain; 2 of them must be online/).waitFor();
      await button('Cancel', dialog()).click();
      assert.deepEqual(await own.violations(page), []);
      await own.shoot(page, 'nodes-without-launcher');
      const phone = await own.open('/nodes', { colorScheme: 'dark', viewport: { width: 390, height: 844 }, isMobile: true });
      const { x, width } = await button('Remove node1', phone).boundingBox();
      assert.ok(x + width <= 390, 'what can be done is beside the phone');
      await own.shoot(phone, 'nodes-without-launcher-phone');
      await phone.context().close();
      await own.go(page, '/');
      await browser.fine(page);
      assert.deepEqual(own.faults, []);
    } finally {
      page = before;
      await own.stop();
    }
  });

  test('eight tabs share one stream', async () => {
    const context = page.context();
    const tabs = await Promise.all(Array.from({ length: 7 }, () => context.newPage()));
    for (const t of tabs) await t.goto(`${cluster.base}/#/`);
    for (const t of tabs) await browser.fine(t);
    const { revision } = await cluster.must('PUT', '/kv/tabs', { value: 'all' });
    for (const t of tabs) await t.getByRole('link', { name: String(revision), exact: true }).waitFor();
    for (const t of tabs) await t.close();
  });

  test('logs in many tabs leave connections to the pages', async () => {
    const context = page.context();
    const tabs = [];
    const open = async (path) => {
      tabs.push(await context.newPage());
      await tabs.at(-1).goto(`${cluster.base}/#${path}`);
      return tabs.at(-1);
    };
    const given = /^Not followed any more: 2 logs are followed in newer tabs/;
    for (let i = 0; i < 5; i++) await (await open('/nodes?log=node1')).getByLabel('Lines', { exact: true }).getByText(/\w/).waitFor();
    const [first, , third, fourth, fifth] = tabs;
    for (const t of [first, third]) await t.getByText(given).waitFor();
    assert.equal(await fourth.getByText(given).count(), 0);
    await (await open('/routes')).getByText('10.1.0.0/16', { exact: true }).first().waitFor();
    await button('Follow here', first).click();
    await fourth.getByText(given).waitFor();
    assert.equal(await first.getByText(given).count(), 0);

    // Of a tab that is not seen none is followed, and what was there is asked for again.
    const see = (state) =>
      fifth.evaluate((s) => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, value: s });
        document.dispatchEvent(new Event('visibilitychange'));
      }, state);
    const ended = fifth.waitForEvent('requestfailed', (r) => r.url().includes('/logs/'));
    await see('hidden');
    await ended;
    const asked = fifth.waitForRequest(/\/logs\/node1\?.*lines=\d+/);
    await see('visible');
    await asked;
    for (const t of tabs) await t.close();
  });

  test('last changes are shown over a slow link, though there are others all the time', async () => {
    const p = await browser.open('/');
    await browser.fine(p);
    // Slower than what the stream tells.
    await p.route(/\/v1\/commits\?/, (route) => void setTimeout(() => route.continue().catch(() => {}), 1500));
    const { revision } = await cluster.must('GET', '/v1/status');
    let over = false;
    const changes = (async () => {
      for (let i = 0; !over; i++) {
        await cluster.must('PUT', '/kv/tick', { value: String(i) });
        await new Promise((done) => setTimeout(done, 100));
      }
    })();
    try {
      await eventually('one of them', async () => Number((await p.locator('section[aria-labelledby=recent] li a').first().innerText()).replace(/\D/g, '')) > revision);
    } finally {
      over = true;
      await changes;
    }
    await p.context().close();
  });

  test('nothing was complained of, and nothing asked of others', () => assert.deepEqual(browser.faults, []));
});
