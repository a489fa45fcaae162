// Loaded before the router begins.
import '$lib/asked';
