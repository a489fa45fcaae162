import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vite';

// DVR_API is where `npm run dev` finds the API, or the launcher.
const api = process.env.DVR_API ?? 'http://localhost:9090';
const paths = ['/api', '/v1', '/kv', '/routes', '/cluster', '/health', '/version', '/dashboard.json'];

// SvelteKit's own root has one inline style, which the page's policy forbids.
const noInlineStyle = {
  name: 'no-inline-style',
  enforce: 'pre' as const,
  transform(code: string, id: string) {
    return id.includes('generated/root.svelte') ? code.replace(/ style="[^"]*"/g, ' class="sr-only"') : undefined;
  },
};

export default defineConfig({
  plugins: [noInlineStyle, tailwindcss(), sveltekit()],
  build: { target: 'es2022', modulePreload: { polyfill: false } },
  worker: { format: 'es' },
  server: { proxy: Object.fromEntries(paths.map((path) => [path, { target: api, changeOrigin: true }])) },
});
