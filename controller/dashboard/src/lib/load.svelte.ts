// Data of a page: loaded when what it depends on changes, kept while it is loaded again.
import { Problem } from './api';

/** Between two loads that only the stream asks for. */
const pace = 700;

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
 * first await changes, at once; and when the state that again reads does, at most every 700 ms.
 */
export function load<T>(what: (signal: AbortSignal) => Promise<T>, again?: () => unknown): Loaded<T> {
  const out = new Loaded<T>();
  let running: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;
  let over = false;

  // Somebody may ask for another load when the component has gone, such as after an answer that came late.
  const run = () => {
    if (over) return;
    clearTimeout(timer);
    timer = undefined;
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
        }
      });
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
      timer ??= setTimeout(run, Math.max(0, last + pace - Date.now()));
    });
  }
  return out;
}
