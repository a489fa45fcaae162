import type { IconName } from './ui/Icon.svelte';

/** The pages, in the order of the menu. */
export const places: { path: string; name: string; icon: IconName; key: string }[] = [
  { path: '/', name: 'Overview', icon: 'overview', key: 'o' },
  { path: '/nodes', name: 'Nodes', icon: 'nodes', key: 'n' },
  { path: '/routes', name: 'Routes', icon: 'routes', key: 'r' },
  { path: '/topology', name: 'Topology', icon: 'topology', key: 't' },
  { path: '/history', name: 'History', icon: 'history', key: 'h' },
  { path: '/planes', name: 'Data planes', icon: 'planes', key: 'd' },
  { path: '/kv', name: 'Key-value', icon: 'keys', key: 'k' },
];

/** Where the node or launcher that serves these pages describes its API, with requests to try. */
export const reference = '/docs';
