import adapter from '@sveltejs/adapter-static';

/** @type {import('@sveltejs/kit').Config} */
export default {
  compilerOptions: { runes: true },
  kit: {
    // The compressed twins are made by tools/finish.js, after it has moved the start script out of the page.
    adapter: adapter({ pages: 'dist/site', assets: 'dist/site', fallback: 'index.html', precompress: false }),
    // Paths such as /routes and /kv are the API's: the page's own places are behind the #.
    router: { type: 'hash', resolution: 'client' },
    version: { name: 'dvr' },
    paths: { relative: true },
  },
};
