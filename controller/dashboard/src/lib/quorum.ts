// What is left of the quorum once a node does not vote any more.

export interface Quorum {
  voters: number;
  online: number;
  /** A majority of the voters. */
  needed: number;
  /** So many that are online may fail; below 0: so many are missing. */
  margin: number;
}

export function quorum(voters: number, online: number): Quorum {
  const needed = Math.floor(voters / 2) + 1;
  return { voters, online, needed, margin: online - needed };
}

export interface Leaver {
  voter: boolean;
  online: boolean;
  leader: boolean;
  /** It is removed from the cluster: its vote is not counted in the majority any more. */
  forGood: boolean;
}

/** without is the quorum once n has left. */
export function without(now: Quorum, n: Leaver): Quorum {
  if (!n.voter) return now;
  return quorum(now.voters - Number(n.forGood), now.online - Number(n.online));
}

/** consequence says in words what that is. */
export function consequence(now: Quorum, n: Leaver): string {
  const left = without(now, n);
  if (!n.voter) return 'It has no vote: the quorum does not change.';
  if (!n.online && !n.forGood) return 'It is offline: its vote does not count now, and the quorum does not change.';
  const are = (k: number) => `${k} ${k === 1 ? 'is' : 'are'}`;
  const which = n.online ? `Without it ${left.online} of ${left.voters} voters ${left.online === 1 ? 'is' : 'are'} online` : `It is offline; of the voters that remain, ${left.voters}, ${are(left.online)} online`;
  const leads = n.leader && left.margin >= 0 ? ' It leads: another node is elected within seconds, and changes wait for that.' : '';
  const needed = `${are(left.needed)} needed${left.needed === now.needed ? '' : ` instead of ${now.needed}`}`;
  if (left.margin < 0) return `${which}, and ${needed}: the cluster ${now.margin < 0 ? 'still has no' : 'loses its'} quorum, and every change is refused until a voter is back.`;
  if (left.margin === 0) return `${which}, just enough, as ${needed}: the next one lost ends the quorum.${leads}`;
  return `${which}, and ${needed}: ${left.margin} more may fail${now.margin === left.margin ? ', as before' : `, ${Math.max(0, now.margin)} before`}.${leads}`;
}
