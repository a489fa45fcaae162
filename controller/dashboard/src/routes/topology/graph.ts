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
  /** Nothing stands where the person has seen it. */
  private fresh = true;

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
      return { id: router.router, router, ...spiral(i++, 2.4) };
    });
    this.fresh = i === this.places.length;
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
    if (this.fresh && n <= 40) this.choose(n <= 14 ? 12 : 4);
    this.fresh = false;
    const s = this.simulation();
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

  /** choose tries several beginnings, of which a few routers have time for, and keeps where links cross least. */
  private choose(tries: number) {
    let best = Infinity;
    let kept: { x: number; y: number }[] = [];
    for (let t = 0; t < tries && best > 0; t++) {
      this.places.forEach((p, i) => Object.assign(p, spiral((i * (t + 1) + t) % this.places.length, 2.4 + 0.3 * t), { vx: 0, vy: 0 }));
      this.simulation().tick(240);
      const worth = this.tangle();
      if (worth < best) [best, kept] = [worth, this.places.map(({ x, y }) => ({ x, y }))];
    }
    this.places.forEach((p, i) => Object.assign(p, kept[i], { vx: 0, vy: 0 }));
  }

  /** tangle counts links that cross, and, worse, routers that lie on the links of others. */
  private tangle(): number {
    let n = 0;
    this.edges.forEach(({ source: a, target: b }, i) => {
      for (const { source: c, target: d } of this.edges.slice(i + 1)) if (a !== c && a !== d && b !== c && b !== d && side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0) n++;
      for (const p of this.places) if (p !== a && p !== b && segment(p.x, p.y, a.x, a.y, b.x, b.y) < 24) n += 3;
    });
    return n;
  }

  private simulation() {
    const n = this.places.length;
    return forceSimulation(this.places)
      .force('link', forceLink(this.edges.map(({ source, target }) => ({ source, target }))).distance(n > 100 ? 50 : 90))
      .force('charge', forceManyBody().strength(n > 100 ? -120 : -620).distanceMax(700))
      .force('collide', forceCollide(n > 100 ? 12 : 26))
      .force('x', forceX(0).strength(0.05))
      .force('y', forceY(0).strength(0.07))
      .stop();
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

// A spiral: deterministic, and nothing on top of another.
function spiral(i: number, turn: number): { x: number; y: number } {
  const radius = 26 * Math.sqrt(i + 1);
  return { x: radius * Math.cos(i * turn), y: radius * Math.sin(i * turn) };
}

/** On which side of the line from a to b p lies: the sign. */
const side = (a: Place, b: Place, p: Place) => (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);

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
