// Films a page: frames with the time each is shown for, a pointer and captions drawn over it, and a GIF of them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TICK = 0.09; // seconds between the frames of a movement
const LONGEST = 2.2; // seconds of a wait that are shown

/** The strip below the page that captions are in, in pixels. */
export const STRIP = 46;

/** stage puts the page above the strip, dialogs and toasts with it. It is run in the page. */
function stage(strip) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    body { position: relative; height: calc(100dvh - ${strip}px); overflow: hidden; transform: translate(0); }
    body .h-dvh { height: calc(100dvh - ${strip}px) !important; }
    dialog { max-height: calc(88dvh - ${strip}px) !important; }
    [id^=film-] { inset: auto; margin: 0; border: 0; padding: 0; overflow: visible; pointer-events: none; }
    #film-caption { left: 0; bottom: 0; width: 100vw; height: ${strip}px; background: #12161c; color: #fff; font: 600 18px/${strip}px "Inter Variable", sans-serif; text-align: center; }
    #film-pointer { width: 22px; height: 26px; background: #12161c; clip-path: polygon(0 0, 0 78%, 22% 60%, 38% 96%, 54% 89%, 38% 54%, 66% 54%); }
    #film-ring { width: 30px; height: 30px; border-radius: 50%; border: 3px solid #1d4fd8; background: transparent; }`);
  document.adoptedStyleSheets.push(sheet);
}

/** overlay draws caption and pointer in the page's top layer, above open dialogs. It is run in the page. */
function overlay({ x, y, pressed, caption }) {
  const one = (name) => {
    let e = document.getElementById(`film-${name}`);
    if (!e) {
      e = document.createElement('div');
      e.id = `film-${name}`;
      e.popover = 'manual';
      e.ariaHidden = 'true';
      document.documentElement.append(e);
    }
    if (e.matches(':popover-open')) e.hidePopover();
    e.showPopover(); // the last one shown is on top
    return e;
  };
  one('caption').textContent = caption;
  const ring = one('ring');
  ring.style.left = `${x - 15}px`;
  ring.style.top = `${y - 15}px`;
  ring.style.visibility = pressed ? 'visible' : 'hidden';
  const pointer = one('pointer');
  pointer.style.left = `${x}px`;
  pointer.style.top = `${y}px`;
}

export class Camera {
  constructor(page) {
    this.page = page;
    this.dir = mkdtempSync(join(tmpdir(), 'dvr-film-'));
    this.frames = []; // { file, seconds }
    this.state = { x: 700, y: 420, pressed: false, caption: '' };
  }
  /** on a page that is open; its viewport has room for the strip. */
  static async on(page) {
    await page.evaluate(stage, STRIP);
    return new Camera(page);
  }
  say(caption) {
    this.state.caption = caption;
  }
  /** shot keeps what is on the page, to be shown for so long; the same again prolongs it, at most to so long. */
  async shot(seconds, most = Infinity) {
    await this.page.evaluate(overlay, this.state);
    const png = await this.page.screenshot({ animations: 'disabled', caret: 'initial' });
    if (this.last?.equals(png)) {
      const f = this.frames.at(-1);
      f.seconds = Math.max(f.seconds, Math.min(f.seconds + seconds, most));
      return;
    }
    this.last = png;
    const file = join(this.dir, `${String(this.frames.length).padStart(4, '0')}.png`);
    writeFileSync(file, png);
    this.frames.push({ file, seconds });
  }
  /** until films while something is waited for, and leaves out what takes longer: a slow machine makes no longer film. */
  async until(awaited) {
    const before = this.seconds;
    let done = false;
    const end = awaited.finally(() => (done = true));
    end.catch(() => {}); // reported below
    while (!done) {
      if (this.seconds - before < LONGEST) await this.shot(0.25, 0.8);
      await Promise.race([end, new Promise((go) => setTimeout(go, 100))]).catch(() => {});
    }
    await end;
  }
  /** point moves the pointer to the middle of an element, or to a place. */
  async point(to) {
    if (to.waitFor) {
      await this.until(to.waitFor());
      await to.scrollIntoViewIfNeeded();
      const box = await to.boundingBox();
      to = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    }
    const from = { x: this.state.x, y: this.state.y };
    for (const part of [0.3, 0.7, 0.92, 1]) {
      Object.assign(this.state, { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part });
      await this.page.mouse.move(this.state.x, this.state.y);
      await this.shot(TICK);
    }
  }
  async press(pressed) {
    this.state.pressed = pressed;
    await this.shot(0.15);
    await (pressed ? this.page.mouse.down() : this.page.mouse.up());
  }
  async click(element) {
    await this.point(element);
    await this.press(true);
    await this.press(false);
  }
  async type(text) {
    for (const letter of text) {
      await this.page.keyboard.type(letter);
      await this.shot(TICK);
    }
  }
  get seconds() {
    return this.frames.reduce((sum, f) => sum + f.seconds, 0);
  }
  /** develop makes a GIF of the frames; answers its bytes. */
  develop(to) {
    const last = this.frames.at(-1);
    const list = [...this.frames, last].map((f) => `file '${f.file}'\nduration ${f.seconds.toFixed(2)}\n`).join('');
    writeFileSync(join(this.dir, 'list'), list);
    // One palette for the whole, no dithering: flat colours stay flat, and of each frame only what changed is stored.
    const filter = 'split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none:diff_mode=rectangle';
    const ran = spawnSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-f', 'concat', '-safe', '0', '-i', join(this.dir, 'list'), '-filter_complex', filter, '-vsync', 'vfr', '-loop', '0', to], { encoding: 'utf8' });
    if (ran.error || ran.status !== 0) throw new Error(`ffmpeg: ${ran.error ?? ran.stderr}`);
    return statSync(to).size;
  }
  close() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
