// Package dashboard is the page that every node and the launcher serve at /.
//
// Its source is Svelte, under src; `make dashboard` (or `npm install && npm run
// build` here) puts the finished files, each with a gzip and a brotli twin, into
// dist/site, and the next build of the program embeds them. Nothing of dist/site
// is in the repository: a program built without it serves dist/absent.html
// instead, which says how to get it.
//
// The page holds no inline script and reaches nothing but the listener that it
// came from; the policy that it is served with makes a browser enforce that.
package dashboard
