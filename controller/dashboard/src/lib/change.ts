// A change before it is made: what it would do, and what is asked for with it.
import { send, type Attempt, type Params, type Problem } from './api';
import type { Event, Hop } from './types';

export interface Change {
  method: 'PUT' | 'POST' | 'DELETE';
  path: string;
  params?: Params;
  body?: unknown;
  headers?: Record<string, string>;
}

/** What a person asks for with any change. */
export interface Care {
  reason: string;
  /** The commit undoes itself unless it is confirmed within this duration; empty: it stays. */
  within: string;
  /** Past guard rails and freezes; needs a reason. */
  force: boolean;
}

export const careless = (): Care => ({ reason: '', within: '', force: false });

export interface RouterEffect {
  router: string;
  prefixes_before: number;
  prefixes: number;
  added: number;
  removed: number;
  changed: number;
  digest_before: string;
  digest: string;
  entries: { destination: string; before?: Hop[]; after?: Hop[] }[];
  entries_left_out?: number;
  groups: { prefixes: number; examples: string[]; before?: Hop[]; after?: Hop[] }[];
  groups_left_out?: number;
}

interface Moved {
  prefixes?: number;
  before?: unknown;
  after?: unknown;
}

/** merged are groups of one router: of those that leave the same next hops for the same others one, with all their prefixes. */
export function merged<G extends Moved>(groups: G[], key: (g: G) => string = () => ''): G[] {
  const out = new Map<string, G>();
  for (const g of groups) {
    const name = JSON.stringify([key(g), g.before, g.after]);
    const first = out.get(name);
    out.set(name, first ? { ...first, prefixes: (first.prefixes ?? 0) + (g.prefixes ?? 0) } : g);
  }
  return [...out.values()];
}

/** What a change would do, as the node computes it on a copy of its state. */
export interface Preview {
  revision: number;
  events: number;
  forced?: string[];
  intent: { added: number; changed: number; removed: number; same: number; items: { before?: Event; after?: Event }[]; items_left_out?: number };
  routers: RouterEffect[];
  routers_left_out?: number;
  warnings: { kind: string; router: string; prefixes: number; examples: string[]; text: string }[];
}

export interface Done {
  revision: number;
  confirm_by?: string;
}

const asked = (care: Care): Params => ({ reason: care.reason.trim(), confirm_within: care.within, force: care.force });

/** preview asks what the change would do. Nothing is stored; its errors are those of the change. */
export async function preview(c: Change, care: Care, signal?: AbortSignal): Promise<Preview> {
  return (await send<Preview>(c.method, c.path, { ...c, params: { ...c.params, ...asked(care), dry_run: true }, signal })).body;
}

/** make makes the change, once however often it is tried by one attempt. */
export async function make(c: Change, care: Care, attempt: Attempt): Promise<Done> {
  return (await send<Done>(c.method, c.path, { ...c, params: { ...c.params, ...asked(care) }, attempt })).body;
}

/** Whether only force gets the change past this refusal. */
export const guarded = (p: Problem | undefined) => p?.slug === 'guarded';
