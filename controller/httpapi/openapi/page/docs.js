// Shows the API's description and sends requests. What it shows is text, never markup.
'use strict';

try {
  const theme = localStorage.getItem('theme'); // as the dashboard's button chose
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is off.
}
const host = document.body.dataset.host;
const shownMost = 200_000; // of an answer
let doc;

function element(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (typeof v === 'boolean') e[k] = v;
    else e.setAttribute(k, v);
  }
  e.append(...children.filter((c) => c !== undefined && c !== null));
  return e;
}

// text with `code` in it, and paragraphs.
function prose(text, paragraph = 'p') {
  return (text || '').trim().split(/\n\n+/).map((part) => element(paragraph, {},
    ...part.replaceAll('\n', ' ').split('`').map((piece, i) => (i % 2 ? element('code', {}, piece) : piece))));
}

function resolve(o) {
  while (o && o.$ref) {
    let v = doc;
    for (const token of o.$ref.slice(2).split('/')) v = v[token.replaceAll('~1', '/').replaceAll('~0', '~')];
    o = v;
  }
  return o;
}

function calls() {
  const out = [];
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of ['get', 'post', 'put', 'delete']) {
      if (!item[method]) continue;
      const call = item[method];
      out.push({ ...call, method, path, launcher: path.startsWith('/api/'), parameters: [...(item.parameters || []), ...(call.parameters || [])].map(resolve) });
    }
  }
  return out;
}

// What a schema is in one word.
function typeOf(schema) {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(' | ');
  if (schema.type === 'array' || Array.isArray(schema.type) && schema.type[0] === 'array') return typeOf(schema.items) + '[]';
  for (const key of ['anyOf', 'oneOf', 'allOf']) {
    if (schema[key]) return schema[key].map(typeOf).join(key === 'allOf' ? ' & ' : ' | ');
  }
  if (schema.additionalProperties && schema.additionalProperties !== true) return '{[name]: ' + typeOf(schema.additionalProperties) + '}';
  const type = Array.isArray(schema.type) ? schema.type.join(' | ') : schema.type || 'any';
  return schema.format && schema.format !== 'int64' ? type + ' (' + schema.format + ')' : type;
}

// The members of a schema as lines, named schemas opened to a depth.
function shape(schema, indent = '', depth = 4, seen = []) {
  const name = schema?.$ref;
  if (name && (seen.includes(name) || depth === 0)) return typeOf(schema);
  if (name) return shape(resolve(schema), indent, depth - 1, [...seen, name]);
  if (!schema) return '';
  if (schema.allOf) {
    const merged = { type: 'object', properties: {}, required: [] };
    const add = (s) => {
      s = resolve(s);
      (s.allOf || []).forEach(add);
      Object.assign(merged.properties, s.properties);
      merged.required.push(...(s.required || []));
    };
    schema.allOf.forEach(add);
    return shape(merged, indent, depth, seen);
  }
  for (const key of ['anyOf', 'oneOf']) {
    if (schema[key]) {
      return schema[key].length > 4 ? typeOf(schema) : schema[key].map((s) => shape(s, indent, depth, seen)).join('\n' + indent + 'or ');
    }
  }
  if (schema.items) return '[' + shape(schema.items, indent, depth, seen) + ', …]';
  if (!schema.properties) {
    const inner = schema.additionalProperties;
    if (inner && inner !== true) return '{\n' + indent + '  <name>: ' + shape(inner, indent + '  ', depth, seen) + '\n' + indent + '}';
    return typeOf(schema);
  }
  const lines = Object.entries(schema.properties).map(([k, v]) => {
    const note = v.description || '';
    const optional = (schema.required || []).includes(k) ? '' : '?';
    return indent + '  ' + k + optional + ': ' + shape(v, indent + '  ', depth, seen) + (note ? '  // ' + note : '');
  });
  return '{\n' + lines.join('\n') + '\n' + indent + '}';
}

function constraint(schema) {
  const s = resolve(schema) || {};
  const parts = [typeOf(s.type || s.enum || s.const !== undefined ? s : schema)];
  if (s.default !== undefined) parts.push('default ' + s.default);
  if (s.minimum !== undefined || s.maximum !== undefined) parts.push((s.minimum ?? '') + ' … ' + (s.maximum ?? ''));
  return parts.join(', ');
}

function inputFor(p, id) {
  const s = resolve(p.schema) || {};
  const options = s.enum || (s.type === 'boolean' ? [true, false] : null);
  const attributes = { id, 'data-in': p.in, 'data-name': p.name };
  if (options) {
    return element('select', attributes, element('option', { value: '' }, ''), ...options.map((v) => element('option', { value: String(v) }, String(v))));
  }
  const input = element('input', { ...attributes, autocomplete: 'off', spellcheck: 'false', placeholder: p.example ?? (s.examples || [''])[0] });
  if (p.in === 'path' || p.required) input.value = p.example ?? '';
  return input;
}

function parameterTable(call) {
  if (!call.parameters.length) return null;
  const rows = call.parameters.map((p, i) => {
    const id = call.operationId + '-' + i;
    return element('tr', {},
      element('th', { class: 'name' }, element('label', { for: id }, element('code', {}, p.name)), p.required ? ' *' : '', element('div', { class: 'soft' }, p.in)),
      element('td', {}, ...prose(p.description), element('div', { class: 'soft type' }, constraint(p.schema))),
      element('td', { class: 'value' }, inputFor(p, id)));
  });
  return element('div', {}, element('h3', {}, 'Parameters'), element('table', {}, element('tbody', {}, ...rows)));
}

function exampleText(media) {
  const e = media.example;
  if (e === undefined) return '';
  return typeof e === 'string' ? e : JSON.stringify(e, null, 2);
}

function bodyBox(call) {
  const body = resolve(call.requestBody);
  if (!body) return null;
  const [kind, media] = Object.entries(body.content)[0];
  const id = call.operationId + '-body';
  return element('div', {}, element('h3', {}, 'Body ', element('code', {}, kind)), ...prose(body.description),
    element('label', { class: 'hidden', for: id }, 'Body'),
    element('textarea', { id, 'data-body': kind, spellcheck: 'false' }, exampleText(media)),
    element('details', {}, element('summary', {}, 'Schema'), element('pre', { class: 'shape' }, shape(media.schema || media['x-line-schema']))));
}

function answers(call) {
  const list = Object.entries(call.responses).map(([code, r]) => {
    r = resolve(r);
    const parts = Object.entries(r.content || {}).flatMap(([kind, media]) => {
      const schemas = media['x-event-schemas']
        ? Object.entries(media['x-event-schemas']).map(([name, s]) => 'event ' + name + ': ' + shape(s)).join('\n\n')
        : shape(media['x-line-schema'] || media.schema);
      return [element('p', {}, element('code', {}, kind), media['x-line-schema'] ? ' a line:' : ''), element('pre', { class: 'shape' }, schemas)];
    });
    return element('details', {}, element('summary', {}, element('code', {}, code), ' ', ...(prose(r.description, 'span'))), ...parts);
  });
  return element('div', {}, element('h3', {}, 'Answers'), ...list);
}

// passedOn is a path below another, its slashes kept, and its query, which
// begins at the first question mark. What is escaped already stays as it is.
function passedOn(text) {
  const [, path, query] = /^([^?]*)(\?.*)?$/s.exec(text);
  const encode = (segment) => encodeURIComponent(segment).replaceAll(/%25([0-9A-Fa-f]{2})/g, '%$1');
  return path.split('/').map(encode).join('/') + (query ?? '').replaceAll('#', '%23');
}

function requestOf(call, box) {
  let path = call.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of box.querySelectorAll('[data-name]')) {
    const { name } = input.dataset;
    if (input.dataset.in === 'path') path = path.replace('{' + name + '}', () => (name === 'path' ? passedOn(input.value) : encodeURIComponent(input.value)));
    else if (input.value !== '' && input.dataset.in === 'query') query.append(name, input.value);
    else if (input.value !== '') headers[name] = input.value;
  }
  if (host === 'launcher' && !call.launcher && !call.tags.includes('reference')) path = '/api/node/' + encodeURIComponent(document.getElementById('node').value) + path;
  const text = box.querySelector('[data-body]');
  const accept = box.querySelector('[data-accept]');
  if (accept) headers.Accept = accept.value;
  const body = text && text.value.trim() !== '' ? text.value : undefined;
  if (body !== undefined) headers['Content-Type'] = text.dataset.body;
  return { url: path + (query.size ? '?' + query : ''), method: call.method.toUpperCase(), headers, body };
}

// The token that requests are sent with; the dashboard, in the same tab, keeps it in the same place.
const token = () => document.getElementById('token').value.trim();
const credential = () => (token() ? { Authorization: 'Bearer ' + token() } : {});

const quoted = (s) => "'" + s.replaceAll("'", "'\\''") + "'";

function curl(r) {
  const parts = ['curl'];
  if (r.method !== 'GET') parts.push('-X', r.method);
  parts.push(quoted(location.origin + r.url));
  for (const [k, v] of Object.entries(r.headers)) parts.push('-H', quoted(k + ': ' + v));
  if (token()) parts.push('-H', '"Authorization: Bearer $DVR_TOKEN"');
  if (r.body !== undefined) parts.push('--data-binary', quoted(r.body));
  return parts.join(' ');
}

// Sends, and shows the answer as it comes: streams have no end.
async function send(call, box, out, stop) {
  const r = requestOf(call, box);
  const line = element('p', {}, 'sending…');
  const shown = element('pre', { tabindex: '0' });
  out.replaceChildren(element('pre', {}, curl(r)), line, shown);
  const control = new AbortController();
  stop.hidden = false;
  stop.onclick = () => control.abort();
  const begin = performance.now();
  let text = '';
  try {
    const got = await fetch(r.url, { method: r.method, headers: { ...r.headers, ...credential() }, body: r.body, signal: control.signal });
    const head = ['DVR-Position', 'DVR-Stale', 'DVR-Next-Cursor', 'DVR-Replayed', 'ETag', 'Retry-After'].filter((h) => got.headers.has(h)).map((h) => h + ': ' + got.headers.get(h));
    line.replaceChildren(element('span', { class: got.ok ? 'good' : 'bad' }, got.status + ' ' + got.statusText),
      ` in ${Math.round(performance.now() - begin)} ms · ${got.headers.get('Content-Type') || 'no body'}`);
    if (head.length) line.after(element('pre', {}, head.join('\n')));
    const reader = got.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
      text += part.value;
      shown.textContent = text;
      if (text.length > shownMost) {
        control.abort();
        break;
      }
    }
    if (/json/.test(got.headers.get('Content-Type') || '') && !/ndjson/.test(got.headers.get('Content-Type'))) shown.textContent = JSON.stringify(JSON.parse(text), null, 2);
  } catch (error) {
    if (error.name !== 'AbortError') line.replaceChildren(element('span', { class: 'bad' }, String(error)));
    else line.append(text.length > shownMost ? ` · cut after ${shownMost / 1000} kB` : ' · stopped');
  } finally {
    stop.hidden = true;
  }
}

function callBox(call) {
  const box = element('div', { class: 'inside' });
  const details = element('details', { class: 'call', id: call.operationId },
    element('summary', {}, element('span', { class: 'method ' + call.method }, call.method.toUpperCase()), element('span', { class: 'path' }, call.path), element('span', { class: 'what' }, call.summary)), box);
  let filled = false;
  details.addEventListener('toggle', () => {
    if (!details.open || filled) return;
    filled = true;
    const out = element('div', {});
    const stop = element('button', { type: 'button', hidden: true }, 'Stop');
    const kinds = Object.keys(resolve(call.responses['200'])?.content || {});
    const accept = kinds.length > 1 ? element('select', { 'data-accept': '', 'aria-label': 'Accept' }, ...kinds.map((k) => element('option', {}, k))) : null;
    const away = host === 'node' && call.launcher;
    const go = element('button', { type: 'button', class: 'go', disabled: away, onclick: () => send(call, box, out, stop) }, 'Send');
    box.append(...prose(call.description), ...[parameterTable(call), bodyBox(call)].filter(Boolean),
      element('div', { class: 'row' }, go, accept, stop, away ? element('span', { class: 'soft' }, 'Only the launcher answers this: try it in its own page, port 8080 by default.') : null), out, answers(call));
  });
  return details;
}

function render() {
  document.getElementById('title').textContent = doc.info.title + ' API';
  document.getElementById('about').replaceChildren(...prose(doc.info.description));
  const all = calls();
  const main = document.getElementById('calls');
  const list = document.getElementById('list');
  main.replaceChildren();
  for (const tag of doc.tags) {
    const own = all.filter((c) => c.tags.includes(tag.name));
    main.append(element('section', { 'data-group': tag.name }, element('h2', { id: 'tag-' + tag.name.replaceAll(' ', '-') }, tag.name), ...prose(tag.description), ...own.map(callBox)));
    list.append(element('section', {}, element('h2', {}, tag.name), element('ul', {}, ...own.map((c) => element('li', { 'data-text': [c.method, c.path, c.operationId, c.summary].join(' ').toLowerCase() },
      element('a', { href: '#' + c.operationId }, element('span', { class: 'method ' + c.method }, c.method.toUpperCase()), element('span', {}, c.path)))))));
  }
}

function filter(words) {
  words = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll('#list section')) {
    let any = false;
    for (const li of section.querySelectorAll('li')) {
      li.hidden = !words.every((w) => li.dataset.text.includes(w));
      any ||= !li.hidden;
    }
    section.hidden = !any;
  }
}

function openLinked() {
  let id = location.hash.slice(1);
  try {
    id = decodeURIComponent(id);
  } catch {
    // Not an escape: then it is meant as it stands.
  }
  const target = document.getElementById(id);
  if (target?.matches('details')) {
    target.open = true;
    target.scrollIntoView();
    target.querySelector('summary').focus();
  }
}

// Asks for the token where the cluster does, and for the nodes that a launcher passes calls on to.
async function nodes() {
  const got = await fetch(host === 'launcher' ? '/api/control/nodes' : '/v1/status', { headers: credential(), cache: 'no-store' });
  const known = document.getElementById('known');
  if (got.status === 401) document.getElementById('who').hidden = false;
  known.className = got.ok ? 'good' : 'bad';
  known.textContent = got.ok ? 'is known' : got.status === 401 ? (token() ? 'is not known' : 'is asked for by this cluster') : 'has no role';
  if (host !== 'launcher') return;
  const select = document.getElementById('node');
  document.getElementById('through').hidden = false;
  if (got.ok) select.replaceChildren(...Object.values(await got.json()).map((n) => element('option', { value: n.id }, n.id)));
}

function who() {
  const box = document.getElementById('token');
  try {
    box.value = sessionStorage.getItem('token') ?? '';
  } catch {
    // Storage is off: it holds for this page.
  }
  document.getElementById('who').hidden = !box.value;
  box.addEventListener('change', () => {
    try {
      if (token()) sessionStorage.setItem('token', token());
      else sessionStorage.removeItem('token');
    } catch {
      // As above.
    }
    void nodes();
  });
}

async function start() {
  who();
  doc = await (await fetch('/openapi.json')).json();
  render();
  openLinked();
  addEventListener('hashchange', openLinked);
  const box = document.getElementById('filter');
  box.addEventListener('input', () => filter(box.value));
  addEventListener('keydown', (e) => {
    if (e.key === '/' && !/INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName)) {
      e.preventDefault();
      box.focus();
    }
  });
  await nodes();
}

start().catch((error) => {
  document.getElementById('calls').replaceChildren(element('p', { class: 'bad' }, 'The description could not be shown: ' + error));
});
