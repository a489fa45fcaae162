// Where routers stand: a force layout, kept over changes so that what is known does not jump.
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY, type SimulationNodeDatum } from 'd3-force';
import type { Link, Router } from '$lib/types';

export interface Place extends SimulationNodeDatum {
  id: string;
  router: Router;
  x: number;
  y: number;
}

export interface Edge {
  id: string;
  link: Link;
  source: Place;
  target: Place;
  /** Of parallel links: how far aside this one bends, in steps. */
  bend: number;
}

export const linkID = (l: Link) => `${l.a}/${l.b}/${l.name ?? ''}`;

export class Graph {
  places: Place[] = [];
  edges: Edge[] = [];
  private known = new Map<string, Place>();

  /** set takes routers and links; it reports whether the layout has to run. */
  set(routers: Router[], links: Link[]): boolean {
    const before = this.shape();
    const all = new Map(routers.map((r) => [r.router, r]));
    for (const l of links)
      for (const id of [l.a, l.b]) if (!all.has(id)) all.set(id, { router: id, declared: false, dataplane: false, revision: 0 });
    let i = 0;
    this.places = [...all.values()].map((router) => {
      const old = this.known.get(router.router);
      if (old) {
        old.router = router;
        return old;
      }
      // A spiral: deterministic, and nothing on top of another.
      const angle = i * 2.4;
      const radius = 26 * Math.sqrt(++i);
      return { id: router.router, router, x: radius * Math.cos(angle), y: radius * Math.sin(angle) };
    });
    this.known = new Map(this.places.map((p) => [p.id, p]));
    const parallel = new Map<string, number>();
    this.edges = links.map((link) => {
      const pair = `${link.a}/${link.b}`;
      const n = parallel.get(pair) ?? 0;
      parallel.set(pair, n + 1);
      return { id: linkID(link), link, source: this.known.get(link.a)!, target: this.known.get(link.b)!, bend: n % 2 ? (n + 1) / 2 : -n / 2 };
    });
    return this.shape() !== before;
  }

  private shape(): string {
    return `${this.places.map((p) => p.id).join()}|${this.edges.map((e) => e.id).join()}`;
  }

  /** layout moves the places, calling each after every few steps, until stop or rest. */
  layout(each: () => void, stop: AbortSignal) {
    const n = this.places.length;
    const s = forceSimulation(this.places)
      .force('link', forceLink(this.edges.map(({ source, target }) => ({ source, target }))).distance(n > 100 ? 50 : 90))
      .force('charge', forceManyBody().strength(n > 100 ? -120 : -620).distanceMax(700))
      .force('collide', forceCollide(n > 100 ? 12 : 26))
      .force('x', forceX(0).strength(0.05))
      .force('y', forceY(0).strength(0.07))
      .stop();
    let left = 240;
    const frame = () => {
      if (stop.aborted) return;
      const until = performance.now() + 8;
      while (left > 0 && performance.now() < until) {
        s.tick();
        left--;
      }
      each();
      if (left > 0) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  bounds(): { x: number; y: number; width: number; height: number } {
    const xs = this.places.map((p) => p.x);
    const ys = this.places.map((p) => p.y);
    const x = Math.min(...xs);
    const y = Math.min(...ys);
    return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
  }

  /** What lies at a point: a router within radius, else a link within half of it. */
  hit(x: number, y: number, radius: number): { place?: Place; edge?: Edge } {
    let best = radius;
    let place: Place | undefined;
    for (const p of this.places) {
      const d = Math.hypot(p.x - x, p.y - y);
      if (d < best) [best, place] = [d, p];
    }
    if (place) return { place };
    best = radius / 2;
    let edge: Edge | undefined;
    for (const e of this.edges) {
      const d = distance(x, y, e);
      if (d < best) [best, edge] = [d, e];
    }
    return { edge };
  }
}

export function middle(e: Edge): [number, number] {
  const dx = e.target.x - e.source.x;
  const dy = e.target.y - e.source.y;
  const length = Math.hypot(dx, dy) || 1;
  const aside = e.bend * 14;
  return [(e.source.x + e.target.x) / 2 - (dy / length) * aside, (e.source.y + e.target.y) / 2 + (dx / length) * aside];
}

function distance(x: number, y: number, e: Edge): number {
  const [mx, my] = middle(e);
  return Math.min(segment(x, y, e.source.x, e.source.y, mx, my), segment(x, y, mx, my, e.target.x, e.target.y));
}

function segment(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const [dx, dy] = [bx - ax, by - ay];
  const t = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}
