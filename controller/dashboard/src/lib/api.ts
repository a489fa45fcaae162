// The HTTP API, on the node beside the page or, through the launcher, on one that is online.
import { credential } from './credential.svelte';
import { live } from './live.svelte';
import { session } from './session.svelte';

/** An answer that is not a success: RFC 9457's members, and the field at fault where one is. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly slug = '',
    readonly field = '',
    readonly body: Record<string, unknown> = {},
  ) {
    super(detail || title);
  }
}

/** fieldError is what a problem says of the field of one of these names; empty: it is about something else. */
export const fieldError = (p: Problem | undefined, ...names: string[]): string =>
  p && names.includes(p.field.replace(/^candidates\[\d+\]\./, '').split('[')[0]) ? p.detail.replace(/^\S+: /, '') : '';

/** The network or the process did not answer at all. */
export const unreachable = (what: string) =>
  new Problem(0, 'No answer', `${what} does not answer. The page tries again by itself.`, 'unreachable');
/** What was sent may have been done, or not. */
const unanswered = (what: string, again: boolean) =>
  new Problem(0, 'Outcome unknown', `${what} did not answer: whether this was done is not known. ${again ? 'Try again as it is to find out: it is not done twice.' : 'Look whether it was before you try again.'}`, 'unanswered');
const none = () => new Problem(0, 'No answer', 'No node is online: the page Nodes says why, and starts them. This goes on by itself as soon as a node answers.', 'unreachable');

// A launcher that does not know who asks names no node.
const nobody = () => (live.refused ? new Problem(live.refused, live.refused === 401 ? 'Not signed in' : 'Not allowed', credential.wanted || 'Whoever you are signed in as has no role here.', live.refused === 401 ? 'unauthenticated' : 'forbidden') : none());

export interface Answer<T> {
  body: T;
  etag: string;
  cursor: string;
  stale: boolean;
  /** By the clock of who answered, Unix milliseconds, whole seconds; 0 where it did not say. */
  date: number;
}

export type Params = Record<string, string | number | boolean | null | undefined>;

export function query(params: Params = {}): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== null && value !== '' && value !== false) q.set(name, String(value));
  const text = q.toString();
  return text && `?${text}`;
}

/** pathOf is a path in which every value is one segment, whatever is in it: addresses of the page name things, too. */
export const pathOf = (texts: TemplateStringsArray, ...values: (string | number)[]): string => String.raw({ raw: texts }, ...values.map((v) => encodeURIComponent(v)));

// A browser takes a segment of dots for a step within the path, escaped or not, and so would ask for another thing.
function addressable(path: string): void {
  const dots = path.split('/').find((segment) => segment === '.' || segment === '..');
  if (dots) throw new Problem(400, 'Not for browsers', `No browser can ask for what is called ${dots}: it takes that for a step within an address. The command line can, such as dvr kv get.`, 'invalid');
}

async function problemOf(r: Response): Promise<Problem> {
  let p: Record<string, unknown> = {};
  try {
    p = await r.json();
  } catch {
    // Not of ours: the status has to do.
  }
  const text = (name: string) => (typeof p[name] === 'string' ? (p[name] as string) : '');
  return new Problem(r.status, text('title') || `HTTP ${r.status}`, text('detail') || text('error') || r.statusText, text('type').split('/').pop(), text('field'), p);
}

async function once<T>(url: string, init: RequestInit): Promise<Answer<T>> {
  const r = await fetch(url, { cache: 'no-store', ...init, headers: credential.with(init.headers) });
  if (!r.ok) {
    const p = await problemOf(r);
    if (p.status === 401) credential.refused(p.detail);
    throw p;
  }
  const h = r.headers;
  const body = r.status === 204 ? (undefined as T) : ((await r.json()) as T);
  return { body, etag: h.get('ETag') ?? '', cursor: h.get('DVR-Next-Cursor') ?? '', stale: h.get('DVR-Stale') === 'true', date: Date.parse(h.get('Date') ?? '') || 0 };
}

const offline = (e: unknown) => e instanceof TypeError || (e instanceof Problem && (e.slug === 'offline' || e.slug === 'starting'));

/** check asks, as whoever has the token, for what everybody may read who has a role. */
export async function check(token: string): Promise<void> {
  if (/[^!-~]/.test(token)) throw new Problem(400, 'Not a token', 'A token has ASCII characters only, and no blanks: was it cut, or changed, on the way here?', 'invalid', 'token');
  const url = session.host === 'launcher' ? '/api/control/nodes' : '/v1/status';
  let r: Response;
  try {
    r = await fetch(url, { cache: 'no-store', headers: { Authorization: `Bearer ${token}` } });
  } catch {
    throw new Problem(0, 'No answer', `${session.host === 'launcher' ? 'The launcher' : 'The node'} does not answer. Try again.`, 'unreachable');
  }
  if (!r.ok) throw await problemOf(r);
}

/** Reads; where a node is gone, from another one that the launcher says is online. */
export async function get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<Answer<T>> {
  addressable(path);
  await session.ready;
  const tried: string[] = [];
  for (;;) {
    const node = session.pick(tried);
    if (node === null) throw nobody();
    try {
      return await once<T>(session.base(node) + path + query(params), { signal });
    } catch (e) {
      if (signal?.aborted) throw e;
      tried.push(node);
      if (!offline(e) || session.pick(tried) === null) throw e instanceof TypeError ? unreachable(node ? `Node ${node}` : 'The node') : e;
    }
  }
}

export interface Sending {
  params?: Params;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Of whoever may press again. */
  attempt?: Attempt;
}

/**
 * Of one form or question, what was sent last. Sent again unchanged before there was an answer it is the same change:
 * the cluster makes it once, and answers as it did or would have.
 */
export class Attempt {
  private content = '';
  private id = '';

  keyOf(content: string): string {
    if (content !== this.content) {
      this.content = content;
      this.id = key();
    }
    return this.id;
  }
  answered() {
    this.content = '';
  }
}

/**
 * Changes. It is sent once: every change has an Idempotency-Key, and a node that is known to be gone is not
 * asked, but what went wrong on the way is for the person to see, who may try again by the same attempt.
 */
export async function send<T>(method: 'PUT' | 'POST' | 'DELETE', path: string, { params, body, headers, signal, attempt }: Sending = {}): Promise<Answer<T>> {
  addressable(path);
  await session.ready;
  const node = session.pick([]);
  if (node === null) throw nobody();
  // Whoever is signed in is who it is; else the cluster takes the name that is given.
  if (!credential.token && /[^!-~]/.test(session.actor)) throw new Problem(400, 'Invalid request', `The name that changes carry, ${session.actor}, may have ASCII characters only, and no blanks: it is set in the menu.`, 'invalid', 'X-DVR-Actor');
  const who: Record<string, string> = credential.token ? {} : { 'X-DVR-Actor': session.actor };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const id = attempt?.keyOf(JSON.stringify([method, path, query(params), sent, headers, who, credential.token])) ?? key();
  const h: Record<string, string> = { ...who, 'Idempotency-Key': id, ...headers };
  if (body !== undefined) h['Content-Type'] = 'application/json';
  try {
    const answer = await once<T>(session.base(node) + path + query(params), { method, headers: h, body: sent, signal });
    attempt?.answered();
    return answer;
  } catch (e) {
    if (signal?.aborted) throw e;
    if (e instanceof Problem && e.status < 500) attempt?.answered();
    // The launcher's word that a node is offline may be its word for an answer that broke off.
    if (!(e instanceof TypeError || (e instanceof Problem && e.slug === 'offline'))) throw e;
    const what = node ? `Node ${node}` : 'The node';
    throw params?.dry_run ? unreachable(what) : unanswered(what, attempt !== undefined);
  }
}

/** The launcher's control API. */
export async function control<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  try {
    const init: RequestInit = { method };
    if (body !== undefined) Object.assign(init, { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    return (await once<T>(`/api/control/${path}`, init)).body;
  } catch (e) {
    if (!(e instanceof TypeError)) throw e;
    throw method === 'GET' ? unreachable('The launcher') : unanswered('The launcher', false);
  }
}

// crypto.randomUUID exists in secure contexts only; a node may be reached by another name than localhost.
function key(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
