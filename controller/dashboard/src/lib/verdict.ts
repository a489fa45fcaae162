// The answer to "is it fine?": what is wrong now, the worst first.
import { count } from './format';
import type { LaunchedNode, Member, Plane, Status } from './types';

/** Revisions from which on somebody is behind. */
const far = 100;

export interface Finding {
  tone: 'bad' | 'warn';
  text: string;
  why: string;
  path: string;
}

export interface Voting {
  voters: number;
  online: number;
  needed: number;
  leader: string;
}

/** How the votes stand, from what the launcher tells or, without one, the cluster. */
export function voting(nodes: LaunchedNode[], members: Member[]): Voting {
  const list = nodes.length
    ? nodes.filter((n) => (n.role ?? 'voter') === 'voter').map((n) => ({ id: n.id, online: n.status === 'online', leader: n.is_leader }))
    : members.filter((m) => m.role === 'voter').map((m) => ({ id: m.node_id, online: m.online, leader: m.leader }));
  return { voters: list.length, online: list.filter((n) => n.online).length, needed: Math.floor(list.length / 2) + 1, leader: list.find((n) => n.leader)?.id ?? '' };
}

export function findings(v: Voting, nodes: LaunchedNode[], members: Member[], planes: Plane[], head: number, status?: Status): Finding[] {
  const out: Finding[] = [];
  const add = (tone: Finding['tone'], text: string, why: string, path: string) => out.push({ tone, text, why, path });
  if (v.voters && v.online < v.needed) add('bad', `No quorum: ${v.online} of ${v.voters} voters are online`, 'Changes are refused until a majority is back. Forwarding goes on with what is installed.', '/nodes');
  else if (v.voters && !v.leader) add('bad', 'No node leads', 'An election is under way: changes wait for it.', '/nodes');
  const gone = nodes.length ? nodes.filter((n) => n.status !== 'online').map((n) => n.id) : members.filter((m) => !m.online).map((m) => m.node_id);
  if (gone.length) add('warn', `${gone.join(', ')} ${gone.length === 1 ? 'is' : 'are'} offline`, v.online - v.needed > 0 ? '' : v.online >= v.needed ? 'The loss of one more voter would end the quorum.' : '', '/nodes');
  if (status?.fault) add('bad', 'The node does not follow the log', status.fault, '/nodes');
  if (status?.security?.transport === 'insecure') add('warn', 'The cluster is insecure', 'Clear text beyond the machine: whoever reaches its addresses controls the routes.', '/nodes');
  if (status?.security?.alarm) add('warn', 'A certificate ends', status.security.alarm, '/nodes');
  if (status && status.store.quota && status.store.bytes > 0.7 * status.store.quota) add('warn', 'The store fills up', `${Math.round((100 * status.store.bytes) / status.store.quota)} % of its quota are used.`, '/');
  if (status?.archive?.problem) add('warn', 'History is not archived', status.archive.problem, '/history');
  for (const n of nodes) if (n.status === 'online' && n.lag > far) add('warn', `${n.id} is ${count(n.lag)} revisions behind`, 'What it is asked is answered from what it has.', '/nodes');
  for (const p of planes) {
    const at = `/planes?router=${encodeURIComponent(p.router)}`;
    if (!p.connected) add('bad', `The data plane of ${p.router} is not connected`, 'It forwards by what it has.', at);
    else if (p.failed) add('bad', `${p.router}: ${p.failed} routes could not be installed`, '', at);
    else if (p.deviates) add('warn', `${p.router} deviates from what it was told`, 'It has taken dead next hops out by itself.', at);
    else if (head - p.position.revision > far) add('warn', `The data plane of ${p.router} is ${count(head - p.position.revision)} revisions behind`, 'It forwards by what it has.', at);
    else if (!p.digest_equal && p.position.revision >= head) add('bad', `${p.router}: what is installed is not what was told`, 'Its digest differs.', at);
  }
  return out.sort((a, b) => Number(a.tone === 'warn') - Number(b.tone === 'warn'));
}

/** Whether a data plane has what the log says. */
export function planeState(p: Plane, head: number): { text: string; tone: 'good' | 'warn' | 'bad' } {
  if (!p.connected) return { text: 'not connected', tone: 'bad' };
  if (p.failed) return { text: 'failures', tone: 'bad' };
  if (p.deviates) return { text: 'deviates', tone: 'warn' };
  if (head - p.position.revision > far) return { text: 'behind', tone: 'warn' };
  if (!p.digest_equal && p.position.revision >= head) return { text: 'differs', tone: 'bad' };
  return { text: 'in sync', tone: 'good' };
}
