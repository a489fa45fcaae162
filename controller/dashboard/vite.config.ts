import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vite';

// DVR_API is where `npm run dev` finds the API, or the launcher.
const api = process.env.DVR_API ?? 'http://localhost:9090';
const paths = ['/api', '/v1', '/kv', '/routes', '/cluster', '/health', '/version', '/dashboard.json'];

export default defineConfig({
  plugins: [tailwindcss(), sveltekit()],
  build: { target: 'es2022', modulePreload: { polyfill: false } },
  worker: { format: 'es' },
  server: { proxy: Object.fromEntries(paths.map((path) => [path, { target: api, changeOrigin: true }])) },
});
