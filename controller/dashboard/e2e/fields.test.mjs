// Every form: what the server finds wrong with a field is said at that field, when it is sent, and where what follows
// is shown beside the form, as soon as the field is left.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Browser, Cluster, missing } from './cluster.mjs';

const skip = missing();

describe('fields', { skip: skip || false }, () => {
  /** @type {Cluster} */ let cluster;
  /** @type {Browser} */ let browser;
  let page;

  before(async () => {
    cluster = await Cluster.start(1, false);
    browser = await Browser.start(cluster.base);
    await cluster.must('POST', '/v1/commits', {
      events: [
        { kind: 'link.set', a: 'r1', b: 'r2', cost_ab: 1, cost_ba: 1, interface_a: 'eth0', interface_b: 'eth0' },
        { kind: 'route.announced', destination: '10.1.0.0/16', next_hop: '192.168.1.1' },
        { kind: 'key.put', key: 'site/name', value: 'core' },
      ],
    });
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
  const labelled = (name, within) => within.getByLabel(name, { exact: true });
  /** said: the field is invalid, and the text that describes it says why. */
  async function said(name, why, within) {
    const field = labelled(name, within).and(page.locator('[aria-invalid=true]'));
    await field.waitFor();
    const id = await field.getAttribute('aria-describedby');
    assert.match(await page.locator(`[id="${id}"]`).innerText(), why, name);
  }
  const unsaid = (name, within) => labelled(name, within).and(page.locator(':not([aria-invalid])')).waitFor();

  /** each fills one field wrong after the other, and asks for what is said there; right again, nothing is. */
  async function each(within, send, cases, typed) {
    for (const [name, wrong, why] of cases) {
      const field = labelled(name, within());
      const right = await field.inputValue();
      await field.fill(wrong);
      if (typed) {
        await field.press('Tab');
        await said(name, why, within());
      }
      await send();
      await said(name, why, within());
      await field.fill(right);
      if (typed) {
        await field.press('Tab');
        await unsaid(name, within());
      }
    }
  }

  test('a route that is added', async () => {
    browser.expects(400);
    await browser.go(page, '/routes?add=yes');
    const form = dialog();
    await labelled('Destination', form).fill('10.2.0.0/16');
    await labelled('Next hop', form).fill('192.168.1.1');
    await form.getByText('Preference, weight, interface').click();
    await each(dialog, () => button('Add', dialog()).click(), [
      ['Destination', '10.300.0.0/16', /prefix|address/],
      ['Destination', '', /./],
      ['Next hop', '192.168.1', /address/],
      ['Metric', '-1', /./],
      ['Metric', 'many', /./],
      ['Router', 'no router!', /./],
      ['Tags', 'a'.repeat(300), /./],
      ['Preference', '5000000000', /./],
      ['Weight', '0', /./],
      ['Interface', 'an interface of too many letters', /./],
    ]);
    await each(dialog, () => button('Add', dialog()).click(), [['Destination', '10.1.0.0/99', /./], ['Next hop', 'x', /./], ['Metric', 'x', /./]], true);
    await labelled('Reason', form).fill('x'.repeat(1025));
    assert.equal((await labelled('Reason', form).inputValue()).length, 1024);
    await browser.shoot(page, 'fields-route');
  });

  test('what is being typed is not judged before it is whole', async () => {
    await browser.go(page, '/routes?add=yes');
    const form = dialog();
    // Nothing is asked about what cannot be whole: no answer that is an error is expected of all the rest.
    const asked = [];
    const note = (r) => r.url().includes('dry_run=true') && asked.push(r.postData());
    page.on('request', note);
    const all = (pieces) => async (name) => {
      for (const piece of pieces) {
        await labelled(name, form).fill(piece);
        await new Promise((done) => setTimeout(done, 350)); // longer than the page waits for the next letter
      }
    };
    await labelled('Next hop', form).fill('192.168.1.1');
    await all(['1', '10.', '10.8.0.0', '10.8.0.0/'])('Destination');
    await form.getByText('Shown here as soon as the form is complete').waitFor();
    await unsaid('Destination', form);
    assert.deepEqual(asked, []);
    await labelled('Destination', form).fill('10.8.0.0/16');
    await form.getByText('1 item added').waitFor();
    await all(['192.', '192.168.1', '2001:', '2001:db8:1'])('Next hop');
    await all([''])('Next hop');
    assert.equal(asked.filter((body) => !body.includes('192.168.1.1')).length, 0, asked.join());
    await labelled('Next hop', form).fill('2001:db8::1');
    await form.getByText('1 item added').waitFor();
    page.off('request', note);
  });

  test('what is left as it cannot be is judged at once', async () => {
    browser.expects(400);
    await browser.go(page, '/routes?add=yes');
    const form = dialog();
    await labelled('Next hop', form).fill('192.168.1.1');
    await labelled('Destination', form).fill('10.');
    await labelled('Metric', form).focus();
    await said('Destination', /./, form);
  });

  test('a route that is changed', async () => {
    browser.expects(400);
    await browser.go(page, '/routes?destination=10.1.0.0/16');
    await button('Change the route via 192.168.1.1').click();
    await dialog().getByText('Preference, weight, interface').click();
    await each(dialog, () => button('Save', dialog()).click(), [['Next hop', 'x', /./], ['Metric', 'x', /./], ['Weight', '70000', /./], ['Tags', 'a'.repeat(300), /./]], true);
  });

  test('routes that are searched', async () => {
    browser.expects(400);
    await browser.go(page, '/routes');
    const main = page.getByRole('main');
    for (const [name, wrong] of [['Prefix or address', '10.0.0.0/99'], ['Prefix or address', '10.0.0'], ['Next hop', 'x']]) {
      await labelled(name, main).fill(wrong);
      await page.keyboard.press('Enter');
      await said(name, /./, main);
      assert.equal(await main.getByRole('alert').count(), 0, `${name} ${wrong}`);
      await button('Clear', main).click();
      await unsaid(name, main);
    }
  });

  test('a key', async () => {
    browser.expects(400);
    await browser.go(page, '/kv?add=yes');
    await labelled('Key', dialog()).fill('other');
    await labelled('Value', dialog()).fill('one');
    await each(dialog, () => button('Add', dialog()).click(), [['Key', '', /./], ['Key', 'k'.repeat(1025), /./], ['Value', '', /empty/], ['Value', 'v'.repeat(64 * 1024 + 1), /./], ['Reason', 'x'.repeat(1025), /./]]);
    await browser.go(page, '/kv?key=site/name');
    await button('Change', dialog()).click();
    await each(dialog, () => button('Save', dialog()).click(), [['Value', 'v'.repeat(64 * 1024 + 1), /./]]);
  });

  test('routers and links', async () => {
    browser.expects(400);
    await browser.go(page, '/topology');
    await button('Router').click();
    await labelled('Router', dialog()).fill('r9');
    await each(dialog, () => button('Add', dialog()).click(), [['Router', '', /./], ['Router', 'no router!', /./], ['Description', 'd'.repeat(5000), /./]]);
    await page.keyboard.press('Escape');
    await button('Link').click();
    await labelled('Router', dialog()).fill('r1');
    await labelled('Other router', dialog()).fill('r3');
    await labelled('Its interface', dialog()).fill('eth1');
    await labelled('Interface there', dialog()).fill('eth1');
    await each(dialog, () => button('Add', dialog()).click(), [
      ['Router', '', /./],
      ['Router', 'no router!', /./],
      ['Other router', '', /./],
      ['Other router', 'r1', /./],
      ['Cost, both ways', '0', /./],
      ['Cost, both ways', 'x', /./],
      ['Its interface', 'an interface of too many letters', /./],
      ['Interface there', 'an interface of too many letters', /./],
      ['Name', 'n'.repeat(300), /./],
    ]);
    await page.keyboard.press('Escape');
    await browser.go(page, '/topology?link=r1/r2/');
    const link = () => page.getByRole('region', { name: 'Link', exact: true });
    await button('Change costs', link()).click();
    await each(link, () => button('Save costs', link()).click(), [['r1 → r2', '0', /./], ['r2 → r1', 'x', /./], ['r2 → r1', '99999999', /./]], true);
  });

  test('a path that is asked for', async () => {
    browser.expects(400);
    await browser.go(page, '/topology');
    const main = page.getByRole('main');
    await labelled('The path of', main).fill('10.0.0');
    await button('Show', main).click();
    await said('The path of', /address/, main);
    assert.equal(await main.getByRole('alert').count(), 0);
    await labelled('The path of', main).fill('10.1.2.3');
    await button('Show', main).click();
    await unsaid('The path of', main);
  });

  test('a node', async () => {
    browser.expects(400, 409);
    await browser.go(page, '/nodes');
    await button('Add a node').click();
    await each(dialog, () => button('Add', dialog()).click(), [['Name', '', /./], ['Name', 'Not A Name', /./], ['Name', 'node1', /./]]);
  });

  test('a reason that is not one, and who one is', async () => {
    browser.expects(400);
    await browser.go(page, '/topology?link=r1/r2/');
    await button('Take down', page.getByRole('region', { name: 'Link', exact: true })).click();
    // The field takes no more than the server does; that this is said at the field shows an answer that is made up.
    await page.route(/\/down(\?|$)/, (route) => (route.request().url().includes('dry_run') ? route.continue() : route.fulfill({ status: 400, contentType: 'application/problem+json', json: { type: '/problems/invalid', title: 'Invalid request', status: 400, detail: 'reason: is not one', field: 'reason' } })));
    await button('Take down', dialog()).click();
    await said('Reason', /is not one/, dialog());
    await page.unroute(/\/down(\?|$)/);
    await browser.go(page, '/');
    const who = page.getByLabel('You are, in commits').first();
    await who.fill('two words');
    await who.press('Tab');
    await said('You are, in commits', /blank/, page.getByRole('complementary', { name: 'Menu' }));
    await who.fill('alice');
    await who.press('Tab');
    await unsaid('You are, in commits', page.getByRole('complementary', { name: 'Menu' }));
    assert.equal(await page.evaluate(() => localStorage.getItem('actor')), 'alice');
  });

  test('the history: revisions that are none', async () => {
    await browser.go(page, '/history');
    await page.getByText(/revision [1-9]/).first().waitFor(); // the newest is known
    const main = page.getByRole('main');
    await labelled('Go to revision', main).fill('last');
    await button('Go', main).click();
    await said('Go to revision', /number/, main);
    await labelled('Compare from revision', main).fill('x');
    await button('Compare', main).click();
    await said('Compare from revision', /number/, main);
    await labelled('Compare from revision', main).fill('1');
    await labelled('Compare to revision', main).fill('9999');
    await button('Compare', main).click();
    await said('Compare to revision', /newest/, main);
    assert.equal(await page.getByRole('dialog').count(), 0);
  });

  test('nothing was complained of, and nothing asked of others', () => assert.deepEqual(browser.faults, []));
});
