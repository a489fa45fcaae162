// Package simulation runs the pure projector alone: a topology from a file or
// a generator, prefixes, and churn. It measures what convergence takes where
// there is neither a store nor a network nor a data plane.
package simulation
