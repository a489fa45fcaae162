// The log backwards: row 0 is the newest commit. Revisions are dense, so any row can be asked for directly.
import { get, Problem } from '$lib/api';
import { Retry } from '$lib/retry';
import type { Commit } from '$lib/types';

const block = 100;
const kept = 60;

export class Log {
  version = $state(0);
  error = $state.raw<Problem | undefined>();
  /** Commits up to here are not retained any more. */
  gone = $state(0);
  private blocks = new Map<number, Map<number, Commit>>();
  private loading = new Map<number, AbortController>();
  private low = 1;
  private high = 1;
  private retry = new Retry(() => this.want(this.low, this.high));

  /** want loads the commits from low to high, which are looked at. */
  want(low: number, high: number) {
    this.low = Math.max(1, low);
    this.high = high;
    const from = Math.floor(this.low / block);
    const to = Math.floor(this.high / block);
    for (const [n, stop] of this.loading) if (n < from || n > to) stop.abort();
    for (let n = from; n <= to; n++) {
      const full = Math.min((n + 1) * block - 1, high) - Math.max(this.gone + 1, n * block) + 1;
      if (!this.loading.has(n) && (this.blocks.get(n)?.size ?? 0) < full && (n + 1) * block - 1 > this.gone) void this.load(n);
    }
  }

  /** close ends what is under way. */
  close() {
    this.retry.stop();
    for (const stop of this.loading.values()) stop.abort();
    this.loading.clear();
  }

  at(revision: number): Commit | undefined {
    void this.version;
    return this.blocks.get(Math.floor(revision / block))?.get(revision);
  }

  private async load(n: number) {
    const stop = new AbortController();
    this.loading.set(n, stop);
    const [after, last] = [Math.max(this.gone, n * block - 1), (n + 1) * block - 1];
    let again = false;
    try {
      const { body } = await get<{ commits: Commit[] }>('/v1/commits', { after: String(after), limit: last - after }, stop.signal);
      if (stop.signal.aborted) return;
      this.blocks.delete(n);
      this.blocks.set(n, new Map(body.commits.map((c) => [c.revision, c])));
      for (const old of this.blocks.keys()) {
        if (this.blocks.size <= kept) break;
        this.blocks.delete(old);
      }
      this.error = undefined;
      this.retry.worked();
      this.version++;
    } catch (e) {
      if (stop.signal.aborted) return;
      if (e instanceof Problem && e.status === 410) {
        // The oldest state that is still there is told: the commits after it are, too.
        const oldest = Number(e.body.oldest_revision);
        this.gone = Math.max(this.gone, oldest > after ? oldest : last);
        again = true;
      } else {
        this.error = e instanceof Problem ? e : new Problem(0, 'Not understood', String(e));
        this.retry.failed(this.error);
      }
    } finally {
      if (this.loading.get(n) === stop) this.loading.delete(n);
    }
    if (again) this.want(this.low, this.high);
  }
}
