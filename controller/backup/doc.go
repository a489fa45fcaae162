// Package backup is the file form of a state at one revision (decision 20):
// written from a published state while a node runs, read and checked without
// one. It knows neither etcd nor HTTP.
package backup
