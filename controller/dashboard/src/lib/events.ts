// Events of the log in words.
import { clock, day, plural } from './format';
import { taste } from './taste.svelte';
import type { Event } from './types';

const text = (v: unknown) => (v === undefined || v === null ? '' : String(v));
function when(v: unknown): string {
  const t = new Date(text(v));
  return Number.isNaN(t.getTime()) ? text(v) : `${day(t, taste.utc)} ${clock(t, taste.utc)}`;
}
const router = (e: Event) => (text(e.router) && e.router !== '*' ? ` at ${text(e.router)}` : '');
const link = (e: Event) => `${text(e.a)} – ${text(e.b)}${e.name ? ` (${text(e.name)})` : ''}`;

/** verb is how it is shown; about names what it is about; rest says more; where leads there. */
export interface Described {
  verb: string;
  tone: 'good' | 'bad' | 'warn' | 'accent' | '';
  about: string;
  rest: string;
  where?: [string, Record<string, string>];
}

/**
 * headline is the first of a commit's events in words, with how many of them it tells of: a route whose path changes is
 * one withdrawn and one announced for the same destination, and neither says what has happened.
 */
export function headline(events: Event[]): { told: Described; of: number } | undefined {
  const [first] = events;
  if (!first) return undefined;
  const place = (e: Event) => `${text(e.router)} ${text(e.destination)}`;
  const about = (kind: string) => events.filter((e) => e.kind === kind && place(e) === place(first));
  const [gone, come] = [about('route.withdrawn'), about('route.announced')];
  if (!first.kind.startsWith('route.') || gone.length !== 1 || come.length !== 1) return { told: describe(first), of: 1 };
  const to = describe(come[0]);
  const via = (e: Event) => text(e.next_hop) || text(e.type);
  return { told: { ...to, verb: 'path changed', tone: 'accent', rest: `from ${via(gone[0])} to ${via(come[0])}${come[0].metric ? `, metric ${text(come[0].metric)}` : ''}${router(come[0])}` }, of: 2 };
}

/** The page of its destination, as the router sees it that it belongs to. */
const routes = (e: Event): [string, Record<string, string>] => ['/routes', { destination: text(e.destination), from: e.router && e.router !== '*' ? text(e.router) : '' }];

export function describe(e: Event): Described {
  switch (e.kind) {
    case 'route.announced':
      return {
        verb: 'route',
        tone: 'good',
        about: text(e.destination),
        rest: `via ${text(e.next_hop) || text(e.type)}${e.metric ? `, metric ${text(e.metric)}` : ''}${router(e)}`,
        where: routes(e),
      };
    case 'route.withdrawn':
      return { verb: 'withdrawn', tone: 'bad', about: text(e.destination), rest: `via ${text(e.next_hop) || text(e.type)}${router(e)}`, where: routes(e) };
    case 'link.set':
      return {
        verb: e.down ? 'link down' : 'link',
        tone: e.down ? 'bad' : 'good',
        about: link(e),
        rest: e.cost_ab === e.cost_ba ? `cost ${text(e.cost_ab ?? 1)}` : `cost ${text(e.cost_ab ?? 1)} there, ${text(e.cost_ba ?? 1)} back`,
        where: ['/topology', { link: `${text(e.a)}/${text(e.b)}/${text(e.name)}` }],
      };
    case 'link.removed':
      return { verb: 'link removed', tone: 'bad', about: link(e), rest: '' };
    case 'link.observed':
      return { verb: `link seen ${text(e.state)}`, tone: e.state === 'up' ? 'good' : 'warn', about: link(e), rest: `by ${text(e.router)}` };
    case 'router.set':
      return { verb: e.drained ? 'router drained' : 'router', tone: e.drained ? 'warn' : 'good', about: text(e.router), rest: text(e.description), where: ['/topology', { router: text(e.router) }] };
    case 'router.removed':
      return { verb: 'router removed', tone: 'bad', about: text(e.router), rest: '' };
    case 'key.put':
      return { verb: 'key', tone: 'good', about: text(e.key), rest: `= ${text(e.value).slice(0, 120)}`, where: ['/kv', { key: text(e.key) }] };
    case 'key.deleted':
      return { verb: 'key deleted', tone: 'bad', about: text(e.key), rest: '', where: ['/kv', { key: text(e.key) }] };
    case 'nexthop.observed':
      return { verb: `next hop seen ${text(e.state)}`, tone: e.state === 'up' ? 'good' : 'warn', about: text(e.next_hop ?? e.address), rest: `by ${text(e.router)}` };
    case 'confirmation.opened':
      return { verb: 'to be confirmed', tone: 'warn', about: '', rest: 'it undoes itself unless it is confirmed' };
    case 'confirmation.confirmed':
      return { verb: 'confirmed', tone: 'good', about: `commit ${text(e.revision)}`, rest: '', where: ['/history', { revision: text(e.revision) }] };
    case 'confirmation.undone':
      return { verb: 'undone', tone: 'bad', about: `commit ${text(e.revision)}`, rest: 'nobody confirmed it', where: ['/history', { revision: text(e.revision) }] };
    case 'guard.set':
      return { verb: 'guard', tone: 'good', about: text(e.name), rest: text(e.type) };
    case 'guard.removed':
      return { verb: 'guard removed', tone: 'bad', about: text(e.name), rest: '' };
    case 'freeze.set':
      return { verb: 'freeze', tone: 'warn', about: text(e.name), rest: '' };
    case 'freeze.removed':
      return { verb: 'freeze ended', tone: 'good', about: text(e.name), rest: '' };
    case 'timer.set': {
      const n = Array.isArray(e.events) ? e.events.length : ((e.stage as { events?: number } | undefined)?.events ?? 0);
      return { verb: 'timer', tone: 'good', about: text(e.name), rest: `${plural(n, 'change')} at ${when(e.at)}` };
    }
    case 'timer.fired':
      return { verb: 'timer fired', tone: 'accent', about: text(e.name), rest: '' };
    case 'timer.cancelled':
      return { verb: 'timer cancelled', tone: 'warn', about: text(e.name), rest: '' };
    case 'timer.failed':
      return { verb: 'timer failed', tone: 'bad', about: text(e.name), rest: text(e.cause) };
    case 'role.set':
      return { verb: 'roles', tone: 'good', about: text(e.actor), rest: (Array.isArray(e.grants) ? (e.grants as { role: string }[]) : []).map((g) => g.role).join(', ') };
    case 'role.removed':
      return { verb: 'roles removed', tone: 'bad', about: text(e.actor), rest: '' };
    case 'token.set':
      return { verb: e.join ? 'join token' : 'token', tone: 'good', about: text(e.id), rest: `of ${text(e.actor)}${e.expires ? ` until ${when(e.expires)}` : ''}${e.node ? `, used by ${text(e.node)}` : ''}` };
    case 'token.removed':
      return { verb: 'token revoked', tone: 'bad', about: text(e.id), rest: '' };
    case 'auth.enabled':
      return { verb: 'authorization on', tone: 'accent', about: '', rest: 'who calls is asked who it is' };
    case 'auth.disabled':
      return { verb: 'authorization off', tone: 'warn', about: '', rest: 'who reaches a node may do everything' };
    case 'commit.staged':
      return { verb: 'staged', tone: 'accent', about: '', rest: `${plural(Number(e.events) || 0, 'event')}, stored apart` };
    case 'epoch.started':
      return { verb: e.from ? 'a new epoch' : 'the log begins', tone: 'accent', about: '', rest: `epoch ${text(e.epoch)}${e.cause ? `, ${text(e.cause)}` : ''}` };
    case 'level.raised':
      return { verb: 'log level', tone: 'accent', about: '', rest: `${text(e.level)} from the next commit on` };
    case 'clock.stepped':
      return { verb: 'clock set right', tone: 'warn', about: '', rest: `from ${when(e.from)} to ${when(e.to)}` };
  }
  const rest = Object.entries(e)
    .filter(([k]) => k !== 'kind')
    .map(([k, v]) => `${k}=${typeof v === 'object' ? JSON.stringify(v) : text(v)}`)
    .join(' ');
  return { verb: e.kind, tone: '', about: '', rest: rest.slice(0, 200) };
}
