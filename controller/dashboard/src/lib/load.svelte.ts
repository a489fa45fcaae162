// Data of a page: loaded when what it depends on changes, kept while it is loaded again.
import { Problem } from './api';

/** Between two loads that only the stream asks for. */
const pace = 700;
/** A load that takes longer than that does not end any more: the stream's next change begins another. */
const hung = 30_000;

export class Loaded<T> {
  data = $state.raw<T | undefined>();
  error = $state.raw<Problem | undefined>();
  loading = $state(false);
  /** When data came, Unix milliseconds. */
  since = $state(0);
  reload: () => void = () => {};
}

/**
 * Loads in an effect of the component that calls it. what is called again when state that it reads before its
 * first await changes, at once; and when the state that again reads does, at most every 700 ms, and not before the
 * load that is under way has ended: over a slow link none would, if each change began another.
 */
export function load<T>(what: (signal: AbortSignal) => Promise<T>, again?: () => unknown): Loaded<T> {
  const out = new Loaded<T>();
  let running: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;
  let over = false;
  let moved = false; // what again reads has changed since the load under way began

  // Somebody may ask for another load when the component has gone, such as after an answer that came late.
  const run = () => {
    if (over) return;
    clearTimeout(timer);
    timer = undefined;
    moved = false;
    running?.abort();
    const mine = (running = new AbortController());
    out.loading = true;
    last = Date.now();
    what(mine.signal)
      .then(
        (data) => {
          if (mine !== running) return;
          out.data = data;
          out.error = undefined;
          out.since = Date.now();
        },
        (e) => {
          if (mine !== running || mine.signal.aborted) return;
          out.error = e instanceof Problem ? e : new Problem(0, 'Not understood', String(e));
          if (out.error.status === 0 || out.error.status >= 500) timer = setTimeout(run, 2000);
        },
      )
      .finally(() => {
        if (mine === running) {
          out.loading = false;
          running = undefined;
          if (moved) soon();
        }
      });
  };
  const soon = () => {
    moved = !!running && Date.now() - last < hung;
    if (!moved) timer ??= setTimeout(run, Math.max(0, last + pace - Date.now()));
  };
  out.reload = run;

  $effect(() => () => (over = true));
  $effect(() => {
    run();
    return () => {
      clearTimeout(timer);
      timer = undefined;
      running?.abort();
      running = undefined;
    };
  });
  if (again) {
    let first = true;
    $effect(() => {
      again();
      if (first) {
        first = false;
        return;
      }
      soon();
    });
  }
  return out;
}
