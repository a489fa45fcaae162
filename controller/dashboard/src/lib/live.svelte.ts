// What the browser's one event stream tells, as state of the page.
import { credential } from './credential.svelte';
import { Stream, type Head, type Told } from './stream';
import type { LaunchedNode, Member, Plane } from './types';

/** A data plane that is behind acknowledges something within so many ms, or is stuck. */
const patience = 5000;

class Live {
  state = $state<Told['state']>('connecting');
  launcher = $state<Told['launcher']>('connecting');
  problem = $state('');
  refused = $state(0);
  heard = $state(0);
  source = $state('');
  /** Counts the logs that this page was told of: what it has loaded is of the one before when that changes. */
  logs = $state(0);
  revision = $state(0);
  head = $state.raw<Head | undefined>();
  rate = $state.raw<[number, number][]>([]);
  nodes = $state.raw<Record<string, LaunchedNode>>({});
  members = $state.raw<Record<string, Member>>({});
  planes = $state.raw<Record<string, Plane>>({});
  /** Data planes that are behind and have acknowledged nothing for some seconds, by router. */
  stuck = $state.raw<Record<string, boolean>>({});
  nodesKnown: Promise<void>;
  private known = () => {};
  private log = '';
  private texts: Record<string, string> = {};
  /** Of each data plane, where it was last, and when it was there first or had everything. */
  private moved = new Map<string, { at: string; since: number }>();

  constructor() {
    this.nodesKnown = new Promise((done) => (this.known = done));
  }

  start(host: 'node' | 'launcher') {
    if (typeof SharedWorker === 'undefined') {
      const stream = new Stream((t) => this.take(t));
      credential.onchange = (token) => stream.start(host, token);
      stream.start(host, credential.token);
      return;
    }
    let port: MessagePort;
    const connect = () => {
      port = new SharedWorker(new URL('./stream.worker.ts', import.meta.url), { type: 'module', name: 'dvr' }).port;
      port.onmessage = ({ data }) => this.take(data as Told);
      port.postMessage([host, credential.token]);
    };
    connect();
    credential.onchange = (token) => port.postMessage([host, token]);
    // A page that the browser kept, and shows again when somebody goes back, connects anew: a worker that has ended
    // meanwhile tells nobody so, and its ports are silent.
    addEventListener('pagehide', () => {
      port.postMessage('bye');
      port.close();
    });
    addEventListener('pageshow', (e) => (e as PageTransitionEvent).persisted && connect());
  }

  private take(t: Told) {
    this.state = t.state;
    this.launcher = t.launcher;
    this.problem = t.problem;
    // The stream may be the first to hear it: through a launcher nothing else is asked before it has told the nodes.
    if (t.refused === 401 && this.refused !== 401) credential.refused('');
    this.refused = t.refused;
    this.heard = t.heard;
    this.source = t.source;
    if (this.log && t.log !== this.log) this.logs++;
    this.log = t.log;
    this.revision = t.revision;
    this.head = t.head;
    this.rate = [...t.rate];
    // Effects run for what has changed only.
    this.differs('nodes', t.nodes) && (this.nodes = { ...t.nodes });
    this.differs('members', t.members) && (this.members = { ...t.members });
    this.differs('planes', t.planes) && (this.planes = { ...t.planes });
    this.watch(t);
    if (t.known || t.refused) this.known();
  }

  private watch(t: Told) {
    const stuck: Record<string, boolean> = {};
    for (const p of Object.values(t.planes)) {
      const at = `${p.instance} ${p.position.revision}`;
      const before = this.moved.get(p.router);
      if (before?.at !== at || p.position.revision >= t.revision) this.moved.set(p.router, { at, since: Date.now() });
      else if (t.state === 'live' && Date.now() - before.since > patience) stuck[p.router] = true;
    }
    this.differs('stuck', stuck) && (this.stuck = stuck);
  }

  private differs(name: string, value: unknown): boolean {
    const text = JSON.stringify(value);
    const changed = this.texts[name] !== text;
    this.texts[name] = text;
    return changed;
  }
}

export const live = new Live();
