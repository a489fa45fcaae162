// A place that the address asks for while the page starts. SvelteKit reads the address when it begins and listens for
// others when it is done, and writes the one that it read over what came between: that is kept here, from before it
// begins, and gone to as any address is that somebody types, by loading the page anew.
let asked = '';
const note = () => (asked = location.href);
addEventListener('popstate', note);

/** started is called when SvelteKit listens itself. */
export function started() {
  removeEventListener('popstate', note);
  if (!asked || asked === location.href) return;
  history.replaceState(null, '', asked);
  location.reload();
}
