// Package demo is a cluster to look at: three nodes under the launcher, a small
// network of routers with a full Internet table, data planes with memory sinks
// at three of them, and changes that never end.
package demo
