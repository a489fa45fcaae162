// The route table, of which only the blocks that are looked at are here.
import { get, Problem } from '$lib/api';
import { Retry } from '$lib/retry';
import type { Route } from '$lib/types';

const block = 200;
const kept = 60; // blocks
const ahead = 40; // rows beyond what is seen that are loaded, too
const settled = 80; // ms: who flies over blocks faster than that loads none of them

export interface Filter {
  within: string;
  covering: string;
  next_hop: string;
  tag: string;
  router: string;
  at: number | null;
}

export class RouteTable {
  total = $state(0);
  known = $state(false);
  error = $state.raw<Problem | undefined>();
  /** Of the blocks shown; grows when one of them comes. */
  version = $state(0);
  private blocks = new Map<number, Route[]>();
  private loading = new Map<number, AbortController>();
  private first = 0;
  private end = 0;
  /** When the first row came into another block; and a timer while that happens again and again. */
  private turned = 0;
  private flying: ReturnType<typeof setTimeout> | undefined;
  private stale = new Set<number>();
  private retry = new Retry(() => this.want());
  private filter: Filter = { within: '', covering: '', next_hop: '', tag: '', router: '', at: null };

  /** set begins another listing. */
  set(filter: Filter) {
    this.filter = filter;
    this.close();
    this.blocks.clear();
    this.stale.clear();
    this.known = false;
    this.error = undefined;
    this.version++;
    this.first = 0;
    this.end = 1;
    this.want();
  }

  /** close ends what is under way. */
  close() {
    clearTimeout(this.flying);
    this.flying = undefined;
    this.retry.stop();
    for (const stop of this.loading.values()) stop.abort();
    this.loading.clear();
  }

  /** refresh loads again what is shown; it is shown as it was until then. */
  refresh() {
    for (const n of this.blocks.keys()) this.stale.add(n);
    this.want();
  }

  range(first: number, end: number) {
    const before = Math.floor(this.first / block);
    this.first = first;
    this.end = Math.max(end, 1);
    if (Math.floor(first / block) === before) {
      if (!this.flying) this.want();
      return;
    }
    const quick = performance.now() - this.turned < settled;
    this.turned = performance.now();
    clearTimeout(this.flying);
    this.flying = undefined;
    if (!quick) this.want();
    else
      this.flying = setTimeout(() => {
        this.flying = undefined;
        this.want();
      }, settled);
  }

  at(i: number): Route | undefined {
    void this.version;
    return this.blocks.get(Math.floor(i / block))?.[i % block];
  }

  private want() {
    const from = Math.floor(Math.max(0, this.first - ahead) / block);
    const to = Math.floor((Math.max(this.end, this.known ? Math.min(this.end + ahead, this.total) : this.end) - 1) / block);
    for (const [n, stop] of this.loading) if (n < from || n > to) stop.abort(); // scrolled past
    for (let n = from; n <= to; n++) if (!this.loading.has(n) && (!this.blocks.has(n) || this.stale.has(n))) void this.load(n);
  }

  private async load(n: number) {
    const stop = new AbortController();
    this.loading.set(n, stop);
    try {
      const { body } = await get<{ routes: Route[]; total: number }>('/v1/routes', { ...this.filter, offset: String(n * block), limit: block, total: true }, stop.signal);
      if (stop.signal.aborted) return;
      this.blocks.delete(n);
      this.blocks.set(n, body.routes);
      this.stale.delete(n);
      this.total = body.total;
      this.known = true;
      this.error = undefined;
      this.retry.worked();
      for (const old of this.blocks.keys()) {
        if (this.blocks.size <= kept) break;
        this.blocks.delete(old);
      }
      this.version++;
    } catch (e) {
      if (stop.signal.aborted) return;
      this.error = e instanceof Problem ? e : new Problem(0, 'Not understood', String(e));
      this.known = true;
      this.retry.failed(this.error);
    } finally {
      if (this.loading.get(n) === stop) this.loading.delete(n);
    }
  }
}
