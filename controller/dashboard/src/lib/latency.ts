// How long changes take until they are acknowledged: quantiles between two readings of a node's metrics.
import { Problem } from './api';
import { credential } from './credential.svelte';
import { session } from './session.svelte';

/** Requests by their upper bound in seconds, cumulative. */
export type Histogram = Map<number, number>;

/** parse takes from /metrics what it tells of calls that made a commit: neither previews nor refusals. */
export function parse(text: string): Histogram {
  const out: Histogram = new Map();
  for (const line of text.split('\n')) {
    if (!line.startsWith('dvr_commit_seconds_bucket{')) continue;
    const bound = line.match(/le="([^"]+)"/)?.[1];
    const n = Number(line.slice(line.lastIndexOf(' ') + 1));
    if (bound === undefined || !Number.isFinite(n)) continue;
    const le = bound === '+Inf' ? Infinity : Number(bound);
    out.set(le, (out.get(le) ?? 0) + n);
  }
  return out;
}

/** quantile of the requests between two readings, in seconds; null: there were none. */
export function quantile(before: Histogram, after: Histogram, q: number): number | null {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const n = (le: number) => (after.get(le) ?? 0) - (before.get(le) ?? 0);
  const total = bounds.length ? n(bounds[bounds.length - 1]) : 0;
  if (total <= 0) return null;
  let [low, counted] = [0, 0];
  for (const le of bounds) {
    const upTo = n(le);
    if (upTo >= q * total) return le === Infinity ? low : low + ((le - low) * (q * total - counted)) / Math.max(1, upTo - counted);
    [low, counted] = [le, upTo];
  }
  return low;
}

/** reading asks a node for what it has counted. */
export async function reading(signal: AbortSignal): Promise<{ node: string; histogram: Histogram }> {
  await session.ready;
  const node = session.pick([]);
  if (node === null) throw new Problem(0, 'No answer', 'No node is online', 'unreachable');
  const r = await fetch(`${session.base(node)}/metrics`, { signal, cache: 'no-store', headers: credential.with() });
  if (!r.ok) throw new Problem(r.status, `HTTP ${r.status}`, 'The metrics cannot be read');
  return { node, histogram: parse(await r.text()) };
}
