// Whether what is being typed may be whole: what cannot be is not asked about yet. What it is the server says.

const four = /^(\d{1,3}\.){3}\d{1,3}$/;
// Eight groups, or fewer with a gap; behind a single colon something follows.
const six = (text: string) => /^[\da-f:.]+$/i.test(text) && (text.includes('::') || text.split(':').length === 8) && !/[^:]:$/.test(text);

/** addressLike: whether it has the shape of an address, as far as one can tell without reading it. */
export const addressLike = (text: string): boolean => four.test(text) || six(text);

/** prefixLike: the same of a prefix. */
export function prefixLike(text: string): boolean {
  const [address, length, ...more] = text.split('/');
  return more.length === 0 && /^\d{1,3}$/.test(length ?? '') && addressLike(address);
}
