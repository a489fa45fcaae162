// What the person may do, as the cluster tells it: what it would refuse is not offered, and says why. The cluster
// judges each change itself; scopes by prefix, router or tag are its to judge alone.
import { get, Problem } from './api';
import { credential } from './credential.svelte';
import { live } from './live.svelte';

interface Grant {
  role: 'viewer' | 'operator' | 'admin';
  prefixes?: string[];
  routers?: string[];
  tags?: string[];
  keys?: string[];
}

interface Who {
  authorization: boolean;
  actor?: string;
  role?: string;
  grants?: Grant[];
}

/** What somebody wants to do: change routes, keys, routers and links, anything of these; or what only admins do. */
export type Need = 'routes' | 'keys' | 'topology' | 'changes' | 'admin';

const whats: Record<Need, string> = { routes: 'changing routes', keys: 'changing keys', topology: 'changing routers and links', changes: 'changing something', admin: 'what concerns nodes' };
const some = (list: string[] | undefined) => !!list?.length;
const scoped = (g: Grant) => some(g.prefixes) || some(g.routers) || some(g.tags) || some(g.keys);

/** Whether a grant may admit it; of a scope only what it is about is looked at. */
function admits(g: Grant, need: Need): boolean {
  if (need === 'admin') return g.role === 'admin' && !scoped(g);
  if (g.role === 'viewer') return false;
  if (!scoped(g) || need === 'changes') return true;
  if (need === 'keys') return some(g.keys);
  if (need === 'topology') return !some(g.prefixes) && (some(g.routers) || some(g.tags));
  return some(g.prefixes) || some(g.routers) || some(g.tags);
}

class Rights {
  who = $state.raw<Who | undefined>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Follows what the cluster says, in an effect of the component that calls it: a role may be given or taken at any revision. */
  follow() {
    $effect(() => {
      void [live.state, live.refused, credential.token];
      void this.ask();
    });
    $effect(() => {
      void live.revision;
      if (this.who?.authorization) this.timer ??= setTimeout(() => ((this.timer = undefined), void this.ask()), 2000);
    });
    $effect(() => () => clearTimeout(this.timer));
  }

  private async ask() {
    try {
      this.who = (await get<Who>('/v1/whoami')).body;
    } catch (e) {
      if (e instanceof Problem && e.status === 401) this.who = { authorization: true };
      // Else nobody answers: what was known holds.
    }
  }

  /** Why the person may not do it; empty: it may, as far as is known here. */
  why(need: Need): string {
    const w = this.who;
    if (!w?.authorization) return '';
    const role = need === 'admin' ? 'admin, without a scope' : 'operator';
    if (!w.actor) return `Nobody is signed in; ${whats[need]} needs the role ${role}.`;
    if (w.grants?.some((g) => admits(g, need))) return '';
    return `${w.actor} has ${w.role ? `the role ${w.role}` : 'no role'}; ${whats[need]} needs the role ${role}${w.role === 'operator' || w.role === 'admin' ? ', and its scope does not reach so far' : ''}.`;
  }
}

export const rights = new Rights();
