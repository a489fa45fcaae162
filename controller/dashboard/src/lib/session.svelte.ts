// Who serves this page, and which node answers it.
import { live } from './live.svelte';

class Session {
  /** 'launcher': nodes are processes that the page can start and stop. 'node': the API is beside the page. */
  host = $state<'node' | 'launcher' | ''>('');
  /** The node that the person chose; empty: the page chooses. */
  chosen = $state('');
  /** Who is named in commits. */
  actor = $state('dashboard');
  ready: Promise<void>;

  constructor() {
    this.ready = this.begin();
  }

  private async begin() {
    try {
      this.actor = localStorage.getItem('actor') || 'dashboard';
    } catch {
      // Storage is off: the default holds.
    }
    for (;;) {
      try {
        const r = await fetch('/dashboard.json');
        this.host = ((await r.json()) as { host: 'node' | 'launcher' }).host;
        break;
      } catch {
        await new Promise((done) => setTimeout(done, 1000));
      }
    }
    live.start(this.host);
    if (this.host === 'launcher') await live.nodesKnown;
  }

  rename(actor: string) {
    this.actor = actor;
    try {
      localStorage.setItem('actor', actor);
    } catch {
      // It holds for this page then.
    }
  }

  /** The node to ask, but for those tried; null where there is none. Without a launcher the only one is ''. */
  pick(tried: string[]): string | null {
    if (this.host !== 'launcher') return tried.length ? null : '';
    const nodes = Object.values(live.nodes).filter((n) => n.status === 'online' && !tried.includes(n.id));
    const best = nodes.find((n) => n.id === this.chosen) ?? nodes.find((n) => n.id === live.source) ?? nodes.find((n) => n.is_leader) ?? nodes[0];
    return best?.id ?? null;
  }

  base(node: string): string {
    return node && `/api/node/${encodeURIComponent(node)}`;
  }
}

export const session = new Session();
