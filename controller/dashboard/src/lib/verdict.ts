// The answer to "is it fine?": what is wrong now, the worst first.
import { count, plural } from './format';
import type { Alarm, LaunchedNode, Member, Plane, Status } from './types';

/** Revisions from which on somebody is behind. */
const far = 100;

export interface Finding {
  tone: 'bad' | 'warn';
  text: string;
  why: string;
  /** What to do about it, where that is not what the page behind path offers. */
  todo: string;
  path: string;
}

/** What an alarm of a node is about, and whether it ends in refusals or in the end of the node. */
const alarms: Record<string, { of: string; bad?: boolean; path?: string }> = {
  disk_full: { of: 'the disk is nearly full', bad: true },
  store_full: { of: 'the store fills up', bad: true },
  keys_full: { of: 'keys and values take nearly all of their room', path: '/kv' },
  disk_slow: { of: 'the disk is slow' },
  clock: { of: 'the clock is not right' },
  certificate: { of: 'a certificate ends' },
  archive: { of: 'history is not archived', path: '/history' },
  backup: { of: 'backups are not as they should be' },
};

export interface Voting {
  voters: number;
  online: number;
  needed: number;
  leader: string;
  /** The log is in an external etcd, whose members are not known here. */
  external: boolean;
}

/** Whether a node answers; with an external etcd, whether that does. */
export const answers = (m: Member): boolean => (m.state ? m.quorum === true : m.online);

/** How the votes stand, from what the launcher tells or, without one, the cluster. */
export function voting(nodes: LaunchedNode[], members: Member[]): Voting {
  const list = nodes.length
    ? nodes.filter((n) => (n.role ?? 'voter') === 'voter').map((n) => ({ id: n.id, online: n.status === 'online', leader: n.is_leader }))
    : members.filter((m) => m.role === 'voter' || m.state).map((m) => ({ id: m.node_id, online: answers(m), leader: m.state ? answers(m) : m.leader }));
  return { external: !nodes.length && members.some((m) => m.state), voters: list.length, online: list.filter((n) => n.online).length, needed: Math.floor(list.length / 2) + 1, leader: list.find((n) => n.leader)?.id ?? '' };
}

/** The alarms of nodes. One that several have, of which the remedy is the same, is one thing. */
export function alarmsOf(members: Member[]): Finding[] {
  const raised = new Map<string, { node: string; alarm: Alarm }[]>();
  for (const m of members)
    for (const alarm of m.alarms ?? []) {
      const same = `${alarm.alarm} ${alarm.do}`;
      raised.set(same, [...(raised.get(same) ?? []), { node: m.node_id, alarm }]);
    }
  return [...raised.values()].map((list) => {
    const { alarm } = list[0];
    const known = alarms[alarm.alarm] ?? { of: alarm.alarm }; // of a newer node
    const alike = list.every((x) => x.alarm.detail === alarm.detail);
    return {
      tone: known.bad ? 'bad' : 'warn',
      text: `${list.map((x) => x.node).join(', ')}: ${known.of}`,
      why: alike ? alarm.detail : list.map((x) => `${x.node}: ${x.alarm.detail}`).join('; '),
      todo: alarm.do,
      path: known.path ?? '/nodes',
    };
  });
}

export function findings(v: Voting, nodes: LaunchedNode[], members: Member[], planes: Plane[], head: number, status?: Status, stuck: Record<string, boolean> = {}): Finding[] {
  const out: Finding[] = [];
  const add = (tone: Finding['tone'], text: string, why: string, path: string, todo = '') => out.push({ tone, text, why, todo, path });
  if (v.external && !v.online) add('bad', 'The external etcd takes no changes', 'They are refused until it does again. Forwarding goes on with what is installed.', '/nodes');
  else if (v.voters && v.online < v.needed) add('bad', `No quorum: ${v.online} of ${v.voters} voters are online`, 'Changes are refused until a majority is back. Forwarding goes on with what is installed.', '/nodes');
  else if (v.voters && !v.leader) add('bad', 'No node leads', 'An election is under way: changes wait for it.', '/nodes');
  const gone = nodes.length ? nodes.filter((n) => n.status !== 'online').map((n) => n.id) : members.filter((m) => !m.state && !m.online).map((m) => m.node_id);
  if (gone.length) add('warn', `${gone.join(', ')} ${gone.length === 1 ? 'is' : 'are'} offline`, v.online - v.needed > 0 ? '' : v.online >= v.needed ? 'The loss of one more voter would end the quorum.' : '', '/nodes');
  if (status?.fault) add('bad', 'The node does not follow the log', status.fault, '/nodes');
  if (status?.security?.transport === 'insecure') add('warn', 'The cluster is insecure', 'Clear text beyond the machine: whoever reaches its addresses controls the routes.', '/nodes');
  out.push(...alarmsOf(members));
  for (const n of nodes) if (n.status === 'online' && n.lag > far) add('warn', `${n.id} is ${count(n.lag)} revisions behind`, 'What it is asked is answered from what it has.', '/nodes');
  for (const p of planes) {
    const at = `/planes?router=${encodeURIComponent(p.router)}`;
    if (!p.connected) add('bad', `The data plane of ${p.router} is not connected`, 'It forwards by what it has.', at);
    else if (p.failed) add('bad', `${p.router}: ${p.failed} routes could not be installed`, '', at);
    else if (p.deviates) add('warn', `${p.router} deviates from what it was told`, 'It has taken dead next hops out by itself.', at);
    else if (!p.position.revision) add('warn', `The data plane of ${p.router} has just connected`, 'It has acknowledged nothing yet.', at);
    else if (behind(p, head, stuck[p.router])) add('warn', `The data plane of ${p.router} is ${plural(head - p.position.revision, 'revision')} behind`, 'It forwards by what it has.', at);
    else if (!p.digest_equal && p.position.revision >= head) add('bad', `${p.router}: what is installed is not what was told`, 'Its digest differs.', at);
  }
  return out.sort((a, b) => Number(a.tone === 'warn') - Number(b.tone === 'warn'));
}

/** A few revisions are on their way all the time; who stays where it is does not catch up. */
const behind = (p: Plane, head: number, stuck = false) => head - p.position.revision > far || (stuck && p.position.revision < head);

/** Whether a data plane has what the log says; stuck: it is behind, and has not moved for a while. */
export function planeState(p: Plane, head: number, stuck = false): { text: string; tone: 'good' | 'warn' | 'bad' } {
  if (!p.connected) return { text: 'not connected', tone: 'bad' };
  if (p.failed) return { text: 'failures', tone: 'bad' };
  if (p.deviates) return { text: 'deviates', tone: 'warn' };
  if (!p.position.revision) return { text: 'connecting', tone: 'warn' };
  if (behind(p, head, stuck)) return { text: 'behind', tone: 'warn' };
  if (!p.digest_equal && p.position.revision >= head) return { text: 'differs', tone: 'bad' };
  return { text: 'in sync', tone: 'good' };
}
