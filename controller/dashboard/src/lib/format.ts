// How things are written.
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: 'compact' });

export const count = (n: number | undefined) => (n === undefined ? '' : whole.format(n));
export const brief = (n: number) => (n < 10000 ? whole.format(n) : short.format(n));
export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
}

export function ago(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** What is left of a countdown: 4:05, 1:04:05. */
export function left(ms: number): string {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const h = Math.floor(s / 3600);
  const rest = `${h ? pad(Math.floor(s / 60) % 60) : Math.floor(s / 60)}:${pad(s % 60)}`;
  return h ? `${h}:${rest}` : rest;
}

const pad = (n: number, width = 2) => String(n).padStart(width, '0');

export function clock(t: Date, utc: boolean): string {
  return utc ? t.toISOString().slice(11, 19) : `${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}`;
}
export function day(t: Date, utc: boolean): string {
  return utc ? t.toISOString().slice(0, 10) : `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())}`;
}

/** Where a next hop leads: an address, a neighbour, or what is done with the packet. */
export function hopText(h: { next_hop?: string; via?: string; type?: string; interface?: string }): string {
  const where = h.next_hop || (h.via ? '' : h.type || h.interface || '');
  return [where, h.via && `through ${h.via}`].filter(Boolean).join(' ');
}
