// What the API tells.

export interface LaunchedNode {
  api_port: number;
  id: string;
  is_leader: boolean;
  status: 'online' | 'offline';
  state: string;
  role?: string;
  raft_state?: string;
  joining: boolean;
  quorum: boolean;
  revision: number;
  lag: number;
  pid?: number;
  since?: string;
  restarts: number;
  addresses: { api: string; fib: string; raft: string; etcd: string };
  data_plane?: { state: string; status?: string; pid?: number; restarts: number; listen: string; last_error?: string };
  last_error?: string;
}

export interface Member {
  node_id: string;
  member_id?: string;
  role: 'voter' | 'learner' | 'observer';
  leader: boolean;
  online: boolean;
  api: string;
  raft: string;
  fib: string;
  client: string;
  level?: number;
  /** Of a node whose log is in an external etcd, which is all that it knows of: External, and whether that takes changes. */
  state?: string;
  quorum?: boolean;
  /** What somebody has to care for there. */
  alarms?: Alarm[];
}

export interface Alarm {
  alarm: string;
  detail: string;
  do: string;
}

export interface Status {
  node_id: string;
  version: string;
  raft_state: string;
  quorum: boolean;
  leader?: string;
  since: string;
  revision: number;
  position: { log_id: string; epoch: number; revision: number };
  level: number;
  max_level: number;
  time: string;
  digest: string;
  fault?: string;
  security?: { transport: 'tls' | 'loopback' | 'insecure' };
  state: { destinations4: number; destinations6: number; routes: number; classes: number; routers: number; links: number; keys: number; key_bytes: number };
  store: { etcd: string; bytes: number; quota: number };
  addresses: { api: string; fib: string; raft?: string; etcd?: string };
  dataplanes: number;
}

export interface Plane {
  router: string;
  instance: string;
  node: string;
  sink: string;
  sinks: string[];
  connected: boolean;
  position: { log_id: string; epoch: number; revision: number };
  lag: number;
  digest_equal: boolean;
  deviates: boolean;
  failed: number;
  since: string;
  version?: string;
  sink_states: { name: string; entries: number; failed: number; repaired: number; deviates: boolean; installed?: string; failures?: { prefix: string; reason: string }[] }[];
  counters: Record<string, number>;
  /** What it sees down. */
  down?: { interface?: string; next_hop?: string; since: string }[];
  /** What others changed and it set right, the newest last. */
  repairs?: { time: string; prefix?: string; cause: string; count: number }[];
  undone?: { time: string; revision: number }[];
  /** What it forwarded; of the stream's messages only. */
  lookups?: number;
  packets?: number;
  bytes?: number;
}

export interface Route {
  router: string;
  destination: string;
  next_hop?: string;
  metric: number;
  type?: string;
  interface?: string;
  preference: number;
  weight: number;
  recursive?: boolean;
  tags?: string[];
  revision: number;
}

export interface Hop {
  next_hop: string;
  weight: number;
  type?: string;
  interface?: string;
  via?: string;
}

export interface Judged extends Route {
  chosen: boolean;
  why?: string;
  metric_here: number;
}

export interface Destination {
  destination: string;
  router: string;
  best?: { destination: string; next_hop: string; metric: number; preference: number; next_hops?: Hop[]; via?: string; revision: number };
  candidates: Judged[];
  revision: number;
}

export interface Router {
  router: string;
  declared: boolean;
  dataplane: boolean;
  description?: string;
  tags?: string[];
  drained?: string;
  probes?: { next_hop?: string; interface?: string; interval_ms: number }[];
  revision: number;
}

export interface Link {
  a: string;
  b: string;
  name?: string;
  cost_ab: number;
  cost_ba: number;
  address_a?: string[];
  address_b?: string[];
  interface_a?: string;
  interface_b?: string;
  down: boolean;
  tags?: string[];
  observed?: Record<string, string>;
  revision: number;
}

export type Event = { kind: string } & Record<string, unknown>;

export interface Commit {
  revision: number;
  id: string;
  time: string;
  actor: string;
  source?: string;
  for?: string;
  reason?: string;
  forced?: string[];
  reverts?: number[];
  n: number;
  events: Event[];
}
