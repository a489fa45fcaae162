// Loaded before the router begins.
import '$lib/asked';
import type { HandleClientError } from '@sveltejs/kit';

/** What goes wrong is shown by +error.svelte; an address of no page is nobody's fault. */
export const handleError: HandleClientError = ({ error, status, message }) => {
  if (status !== 404) console.error(error);
  return { message };
};
