// Finishes the built site: the start script leaves the page for a file of its own, since the page's policy forbids
// inline scripts, the fonts are put where the API reference finds them, and every file gets its gzip and brotli twin.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const site = new URL('../dist/site/', import.meta.url).pathname;
const page = join(site, 'index.html');

let html = readFileSync(page, 'utf8');
html = html.replace(/<script>([\s\S]*?)<\/script>/g, (_, script) => {
  // The script finds its modules from the page's address and the node that it stands in; both move with it.
  const body = `${script
    .replace(/document\.currentScript\.parentElement/g, 'document.body.firstElementChild')
    .replace(/import\("\.\//g, 'import("/')
    .trim()}\n`;
  const name = `start.${createHash('sha256').update(body).digest('base64url').slice(0, 8)}.js`;
  writeFileSync(join(site, '_app/immutable', name), body);
  return `<script src="/_app/immutable/${name}" defer></script>`;
});
html = html.replace(/(href|src)="\.\//g, '$1="/').replace(/\n\s*\n/g, '\n');
if (/<script>|\sstyle=|\son[a-z]+=/.test(html)) throw new Error('the page holds what its policy forbids');
writeFileSync(page, html);

// The API reference, which is no part of this site, has the same fonts, by names that do not change.
mkdirSync(join(site, 'fonts'), { recursive: true });
for (const [font, name] of [['inter-latin-wght-normal', 'sans'], ['jetbrains-mono-latin-wght-normal', 'mono']]) {
  const found = readdirSync(join(site, '_app/immutable/assets')).find((n) => n.startsWith(`${font}.`) && n.endsWith('.woff2'));
  if (!found) throw new Error(`${font} is not among the assets`);
  copyFileSync(join(site, '_app/immutable/assets', found), join(site, 'fonts', `${name}.woff2`));
}

for (const entry of readdirSync(site, { recursive: true, withFileTypes: true })) {
  const name = join(entry.parentPath, entry.name);
  if (!entry.isFile() || /\.(woff2|br|gz|png)$/.test(name)) continue;
  const raw = readFileSync(name);
  writeFileSync(`${name}.gz`, gzipSync(raw, { level: 9 }));
  writeFileSync(`${name}.br`, brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: raw.length } }));
}
