// What there may be, or not. A list says so without an error, of which browsers complain to whoever looks at their
// console; where there is none, null is the answer.
import { get, pathOf, type Answer, type Params } from './api';
import type { Destination, Route } from './types';

/**
 * destinationOf is a destination as a router sees it: where none is named as one without links does, or the first of
 * those that have a route of their own, if none is of every router. Of what lies within a prefix it is itself the first.
 */
export async function destinationOf(destination: string, params: Params = {}, signal?: AbortSignal): Promise<Answer<Destination> | null> {
  const { routes } = (await get<{ routes: Route[] }>('/v1/routes', { within: destination, at: params.at, limit: 100 }, signal)).body;
  const [first] = routes;
  if (first?.destination.split('/')[1] !== destination.split('/')[1]) return null;
  const owners = routes.filter((r) => r.destination === first.destination).map((r) => r.router);
  return get<Destination>(pathOf`/routes/${destination}`, { ...params, router: params.router || (owners.includes('*') ? '*' : owners[0]) }, signal);
}

export interface Stored {
  key: string;
  value: string;
  modified: number;
}

/** keyOf is a key with its value. */
export async function keyOf(name: string, params: Params = {}, signal?: AbortSignal): Promise<Answer<Stored> | null> {
  const first = (await get<Record<string, string>>('/kv', { prefix: name, at: params.at, limit: 1 }, signal)).body;
  return Object.hasOwn(first, name) ? get<Stored>(pathOf`/kv/${name}`, params, signal) : null;
}
