// What happens, told by one event stream a browser: it runs in a shared worker, or in the page where there is none.
// Streams are read with fetch: it shows the heartbeats, so that a connection that died in silence is noticed.
import type { LaunchedNode, Member, Plane } from './types';

export interface Head {
  revision: number;
  time: string;
  actor: string;
  reason?: string;
  n: number;
}

/** What is told to the pages: everything that is known, at most four times a second. */
export interface Told {
  /** live: the stream of a node is open. lost: it is being tried again. */
  state: 'connecting' | 'live' | 'lost';
  /** The launcher's stream, where there is one. */
  launcher: 'connecting' | 'live' | 'lost';
  problem: string;
  /** Of a stream that is lost: 401 or 403, where that is how it was answered; else 0. */
  refused: number;
  heard: number;
  source: string;
  /** Which log that is, of which epoch: another one has nothing to do with what was told before. */
  log: string;
  revision: number;
  head?: Head;
  /** Commits seen and the time, one entry a second, the newest last: [Unix seconds, revision]. */
  rate: [number, number][];
  nodes: Record<string, LaunchedNode>;
  members: Record<string, Member>;
  planes: Record<string, Plane>;
  known: boolean;
}

// A heartbeat comes every 15 s: beyond this the connection is dead.
const silence = 40_000;

// The token that the streams are read with; empty: none.
let credential = '';

export class Stream {
  private told: Told = { state: 'connecting', launcher: 'connecting', problem: '', refused: 0, heard: 0, source: '', log: '', revision: 0, rate: [], nodes: {}, members: {}, planes: {}, known: false };
  private host = '';
  private place = '';
  private following?: AbortController;
  private launching?: AbortController;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly publish: (t: Told) => void) {
    setInterval(() => this.sample(), 1000);
  }

  /** start begins, as whoever has the token; again, it tells what is known, and goes on as use does. */
  start(host: 'node' | 'launcher', token: string) {
    if (this.host) this.use(token);
    else {
      credential = token;
      this.host = host;
      if (host === 'launcher') void this.launcher();
      else void this.follow('');
    }
    this.publish(this.told);
  }

  /** use goes on with another token; empty: none. */
  use(token: string) {
    if (token === credential) return;
    credential = token;
    this.launching?.abort();
    this.following?.abort();
    if (this.host === 'node' || this.told.source) void this.follow(this.told.source);
  }

  private changed() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.publish(this.told);
    }, 250);
  }

  private sample() {
    const { rate, revision } = this.told;
    if (revision === 0) return;
    rate.push([Math.round(Date.now() / 1000), revision]);
    if (rate.length > 301) rate.shift();
    this.changed();
  }

  private async launcher() {
    for (;;) {
      try {
        this.launching = new AbortController();
        await read('/api/control/events', this.launching, () => ((this.told.launcher = 'live'), (this.told.refused = 0)), (kind, data) => {
          const t = this.told;
          if (kind === 'nodes') t.nodes = data as Told['nodes'];
          else if (kind === 'node') t.nodes[(data as LaunchedNode).id] = data as LaunchedNode;
          else if (kind === 'removed') delete t.nodes[(data as { id: string }).id];
          t.known = true;
          for (const n of Object.values(t.nodes)) if (n.status === 'online') this.at(n.revision);
          this.choose();
          this.changed();
        });
      } catch (e) {
        // Tried again.
        this.denied(e);
      }
      this.told.launcher = 'lost';
      this.changed();
      await pause(1000);
    }
  }

  private denied(e: unknown) {
    this.told.refused = e instanceof Refused && [401, 403].includes(e.status) ? e.status : 0;
  }

  /** choose keeps following a node that is online. */
  private choose() {
    const nodes = Object.values(this.told.nodes).filter((n) => n.status === 'online');
    if (nodes.some((n) => n.id === this.told.source)) return;
    const next = (nodes.find((n) => n.is_leader) ?? nodes[0])?.id ?? '';
    if (!next) {
      this.told.state = 'lost';
      this.told.problem = 'no node is online';
    }
    if (next === this.told.source) return;
    this.following?.abort();
    this.told.source = next;
    this.told.state = 'lost';
    if (next) void this.follow(next);
  }

  private at(revision: number) {
    if (revision > this.told.revision) this.told.revision = revision;
  }

  /** within tells where the stream is, <log>/<epoch>/<revision>; of another log all that was told of the one before is forgotten. */
  private within(place: string) {
    const t = this.told;
    const end = place.lastIndexOf('/');
    const log = place.slice(0, Math.max(end, 0));
    if (t.log && log !== t.log) {
      t.revision = 0;
      t.head = undefined;
      t.rate = [];
      t.members = {};
      t.planes = {};
      for (const n of Object.values(t.nodes)) n.revision = 0; // until the launcher tells them anew
      this.changed();
    }
    t.log = log;
    this.at(Number(place.slice(end + 1)) || 0);
  }

  private async follow(node: string) {
    const stop = new AbortController();
    this.following = stop;
    const base = node && `/api/node/${encodeURIComponent(node)}`;
    while (!stop.signal.aborted) {
      const t = this.told;
      // What was told before, and by this stream is not yet: what has gone meanwhile it does not tell.
      const before = { dataplanes: new Set(Object.keys(t.planes)), nodes: new Set(Object.keys(t.members)) };
      try {
        const after = this.place && `&after=${encodeURIComponent(this.place)}`;
        await read(
          `${base}/v1/watch?kinds=commits,dataplanes,nodes${after}`,
          stop,
          () => {
            t.state = 'live';
            t.problem = '';
            t.refused = 0;
            t.heard = Date.now();
            this.changed();
          },
          (kind, data) => {
            if (kind === 'commits') {
              t.head = data as Head;
              this.at(t.head.revision);
            } else if (kind === 'dataplanes') note(t.planes, before.dataplanes, (data as Plane).router, data as Plane & Gone);
            else if (kind === 'nodes') note(t.members, before.nodes, (data as Member).node_id, data as Member & Gone);
            else if (kind === 'told') {
              const of = (data as { kind: keyof typeof before }).kind;
              const all = of === 'nodes' ? t.members : t.planes;
              for (const id of before[of]) delete all[id];
              before[of].clear();
            }
            t.known = true;
            this.changed();
          },
          (id) => {
            this.place = id;
            this.within(id.split('+')[0]);
            t.heard = Date.now();
          },
        );
      } catch (e) {
        if (stop.signal.aborted) return;
        t.problem = e instanceof Error ? e.message : String(e);
        this.denied(e);
        if (e instanceof Refused && e.status !== 503) this.place = '';
      }
      t.state = 'lost';
      this.changed();
      await pause(1000);
    }
  }
}

interface Gone {
  gone?: boolean;
}

function note<T>(all: Record<string, T>, before: Set<string>, id: string, item: T & Gone) {
  before.delete(id);
  if (item.gone) delete all[id];
  else all[id] = item;
}

class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** read follows one stream of server-sent events until it ends, fails or falls silent. */
async function read(url: string, stop: AbortController, opened: () => void, event: (kind: string, data: unknown) => void, id: (id: string) => void = () => {}) {
  const own = new AbortController();
  const end = () => own.abort();
  stop.signal.addEventListener('abort', end);
  let watchdog = setTimeout(end, silence);
  try {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (credential) headers.Authorization = `Bearer ${credential}`;
    const r = await fetch(url, { signal: own.signal, headers, cache: 'no-store' });
    if (!r.ok || !r.body) throw new Refused(r.status, `HTTP ${r.status}`);
    opened();
    const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    let kind = '';
    let data = '';
    let place = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(end, silence);
      const lines = (rest + value).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') {
          if (place) id(place);
          if (data) event(kind, JSON.parse(data));
          kind = data = place = '';
        } else if (line.startsWith('event: ')) kind = line.slice(7);
        else if (line.startsWith('data: ')) data += line.slice(6);
        else if (line.startsWith('id: ')) place = line.slice(4);
      }
    }
  } finally {
    clearTimeout(watchdog);
    stop.signal.removeEventListener('abort', end);
    own.abort();
  }
}
