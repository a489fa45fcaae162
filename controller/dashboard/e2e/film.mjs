// Records docs/demo.gif and docs/dashboard.png from `dvr demo`, in a browser: `make demo-gif`. What is not seen to
// happen makes it fail, and so does a GIF of more than 3 MB. DVR_FILM=FOLDER puts both there, and keeps the frames.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Camera, STRIP } from './camera.mjs';
import { Browser, binary, eventually, free, missing } from './cluster.mjs';

const MOST = 3 << 20;
const docs = process.env.DVR_FILM || new URL('../../../docs', import.meta.url).pathname;

process.env.DVR_REQUIRE_BINARIES = '1';
missing();
missing.planes();
mkdirSync(docs, { recursive: true });

/** demo starts a demonstration; answers where its dashboard is once everything is there. */
async function demo() {
  const [listen, api, raft] = [await free(1), await free(240, 12_000, 20_000), await free(8, 26_000, 32_700, [0, -5921])];
  const args = ['demo', '--listen', `:${listen}`, '--api-base', api, '--raft-base', raft, '--routes', process.env.DVR_FILM_ROUTES || 2_000_000];
  const process_ = spawn(binary, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const ended = () => process_.exitCode !== null || process_.signalCode !== null;
  for (const s of [process_.stdout, process_.stderr]) s.on('data', (d) => (said += d));
  const stop = () =>
    new Promise((done) => {
      if (ended()) return done();
      process_.once('exit', done);
      process_.kill('SIGINT');
    });
  try {
    await eventually('the demonstration', () => {
      if (ended()) throw new Error(said || `it ended by ${process_.signalCode}`);
      return said.includes('Dashboard');
    }, 300_000);
  } catch (e) {
    await stop();
    throw e;
  }
  return { base: `http://127.0.0.1:${listen}`, stop };
}

async function story(page, camera, base) {
  const named = (role, name, exact = true) => page.getByRole(role, { name, exact });
  const dialog = page.getByRole('dialog');
  const inDialog = (name) => dialog.getByRole('button', { name, exact: true });
  const menu = (name) => page.getByRole('navigation').getByRole('link', { name, exact: true });
  const row = (name) => page.getByRole('row', { name });
  const nodes = async () => Object.values(await (await fetch(`${base}/api/control/nodes`)).json());

  camera.say('Three nodes, nine routers, the whole Internet table');
  await camera.shot(2.2);

  camera.say('Add a node');
  await camera.click(menu('Nodes'));
  await camera.until(row(/^node3/).waitFor());
  await camera.click(named('button', 'Add a node'));
  await camera.until(dialog.waitFor());
  await camera.shot(0.8);
  await camera.click(inDialog('Add'));
  camera.say('It joins by itself, and votes once it has caught up');
  await camera.until(row(/^node4.*follower/).waitFor({ timeout: 120_000 }));
  await camera.shot(1.6);

  const leader = (await nodes()).find((n) => n.is_leader).id;
  camera.say(`Stop the leader, ${leader}`);
  await camera.click(named('button', `Stop ${leader}`));
  await camera.until(dialog.getByText(/another node is elected/).waitFor());
  await camera.shot(1.8);
  await camera.click(inDialog('Stop'));
  camera.say('Another one is elected; forwarding goes on');
  await camera.until(row(new RegExp(`^${leader}.*offline`)).waitFor());
  const next = await eventually('another leader', async () => (await nodes()).find((n) => n.is_leader && n.id !== leader)?.id);
  await camera.until(row(new RegExp(`^${next}.*leader`)).waitFor());
  await camera.shot(2);
  camera.say(`${leader} comes back, and catches up`);
  await camera.click(named('button', `Start ${leader}`));
  await camera.until(row(new RegExp(`^${leader}.*follower`)).waitFor({ timeout: 120_000 }));
  await camera.shot(1);

  camera.say('The way of a packet from Madrid');
  await camera.click(menu('Topology'));
  await camera.until(row(/mad – par/).waitFor());
  await page.getByLabel('from').selectOption('mad');
  await camera.click(page.getByLabel('The path of'));
  await camera.type('8.8.8.8');
  await page.keyboard.press('Enter');
  const way = named('region', 'Path');
  await camera.until(way.getByText('to par').waitFor());
  await camera.shot(2);
  camera.say('Cut a link: first what that would change, on every router');
  await camera.click(named('link', 'mad – par'));
  await camera.click(named('button', 'Take down'));
  await camera.until(dialog.getByText(/forward differently/).waitFor());
  await camera.shot(2.6);
  const before = (await (await fetch(`${base}/api/node/${next}/v1/status`)).json()).revision;
  await camera.click(inDialog('Take down'));
  camera.say('A million routes of Madrid go through Milan now');
  await camera.until(way.getByText('to mil').waitFor());
  await camera.until(page.getByText('The link is down').waitFor());
  await camera.shot(2.4);

  camera.say('Turn back time');
  await camera.click(named('button', 'Travel in time'));
  const slider = page.getByRole('slider');
  await camera.until(slider.waitFor());
  const box = await slider.boundingBox();
  const newest = Number(await slider.getAttribute('max'));
  const knob = 16; // of the browser's own slider
  const at = (revision) => ({ x: box.x + knob / 2 + ((box.width - knob) * (revision - 1)) / (newest - 1), y: box.y + box.height / 2 });
  await camera.point(at(newest));
  await camera.press(true);
  await camera.point(at(newest * 0.6));
  await camera.shot(0.5);
  await camera.point(at(before - 25));
  await camera.press(false);
  camera.say('Every page as it was: the link is up, the old path is taken');
  await camera.until(way.getByText('to par').waitFor());
  await camera.shot(2.6);
  camera.say('And back: what is now was never touched');
  await camera.click(named('button', 'Back to now'));
  await camera.until(way.getByText('to mil').waitFor());
  await camera.shot(1.6);
}

/** people make changes among those of the demonstration's speakers, for the picture. */
async function people(base) {
  const node = (await (await fetch(`${base}/api/control/nodes`)).json()).node1.id;
  for (const [actor, method, path, body] of [
    ['alice', 'POST', '/routes?reason=a new customer', { destination: '203.0.113.0/24', next_hop: '192.168.9.9', metric: 10, router: 'vie' }],
    ['bob', 'POST', '/v1/links/ber/sto/down?reason=splicing until noon', undefined],
    ['carol', 'PUT', '/kv/site/maintenance', { value: 'sto 22:00' }],
    ['bob', 'POST', '/v1/links/ber/sto/up?reason=done early', undefined],
  ]) {
    const headers = { 'X-DVR-Actor': actor, ...(body && { 'Content-Type': 'application/json' }) };
    const r = await fetch(`${base}/api/node/${node}${path}`, { method, headers, body: body && JSON.stringify(body) });
    if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`);
    await wait(1.3);
  }
}

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

const shown = await demo();
let browser, camera;
try {
  browser = await Browser.start(shown.base);
  browser.expects(502, 503, 'ERR_INCOMPLETE_CHUNKED_ENCODING'); // while the leader stops
  const look = { colorScheme: 'light', reducedMotion: 'reduce', locale: 'en-GB' };
  const still = await browser.open('/', { ...look, viewport: { width: 1360, height: 784 } });
  const page = await browser.open('/', { ...look, viewport: { width: 1300, height: 740 + STRIP } });
  await page.getByLabel('You are, in commits').fill('alice');
  await page.getByLabel('You are, in commits').blur();
  await page.getByText('Everything is fine').waitFor();
  await wait(60); // until the charts have something to show
  await people(shown.base);
  await still.getByText('Everything is fine').waitFor();
  await still.screenshot({ path: join(docs, 'dashboard.png') });
  await still.context().close();
  camera = await Camera.on(page);
  await story(page, camera, shown.base);
  if (browser.faults.length) throw new Error(browser.faults.join('\n'));
  const gif = join(docs, 'demo.gif');
  const bytes = camera.develop(gif);
  console.log(`${gif}: ${bytes} bytes, ${camera.frames.length} frames, ${camera.seconds.toFixed(0)} s`);
  if (bytes > MOST) throw new Error(`the GIF takes ${bytes} bytes, more than ${MOST}`);
} finally {
  if (camera && process.env.DVR_FILM) cpSync(camera.dir, join(docs, 'frames'), { recursive: true });
  camera?.close();
  await browser?.stop();
  await shown.stop();
}
