// What failed for now is tried again, at growing distances.
import type { Problem } from './api';

const first = 2000;
const most = 16_000;

export class Retry {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wait = first;

  constructor(private readonly what: () => void) {}

  /** failed has it tried again, unless the answer would be the same. */
  failed(p: Problem) {
    if (this.timer !== undefined || (p.status !== 0 && p.status < 500)) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.what();
    }, this.wait);
    this.wait = Math.min(2 * this.wait, most);
  }
  /** worked begins with the shortest distance again; what else has failed is still tried again. */
  worked() {
    this.wait = first;
  }
  stop() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.wait = first;
  }
}
