// The revision that the pages show: the newest, or one of the past.
import { goto } from '$app/navigation';
import { page } from '$app/state';

/** Reads the parameters behind the # of the page's address. */
export function param(name: string): string {
  return new URLSearchParams(page.url.hash.split('?')[1] ?? '').get(name) ?? '';
}

/** Puts parameters into the page's address; empty ones leave it. */
export function setParams(values: Record<string, string | number | null>, replace = true) {
  const [path, search] = (page.url.hash || '#/').split('?');
  const q = new URLSearchParams(search ?? '');
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === '') q.delete(name);
    else q.set(name, String(value));
  }
  const text = q.toString();
  void goto(path + (text && `?${text}`), { replaceState: replace, keepFocus: true, noScroll: true });
}

class Moment {
  /** null: now. */
  get at(): number | null {
    const n = Number(param('at'));
    return Number.isSafeInteger(n) && n > 0 ? n : null;
  }
  /** What the address says in the place of a revision, such as a time: until it is known which that is, no page is right. */
  get named(): string {
    return this.at === null ? param('at') : '';
  }
  travel(at: number | null) {
    setParams({ at });
  }
  /** A place in the page, at the same moment. */
  link(path: string, params: Record<string, string | number> = {}): string {
    const q = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) if (value !== '') q.set(name, String(value));
    if (this.at !== null) q.set('at', String(this.at));
    const text = q.toString();
    return `#${path}${text && `?${text}`}`;
  }
}

export const moment = new Moment();
