// Package etcdserver runs one etcd member inside the node's process.
//
// It turns the node's settings into etcd's, opens the client listener for
// reading only (the log has one writer, the appender, which uses the
// in-process client), and turns etcd's ways to end (an error of a listener, a
// stop after removal from the cluster, a fatal log entry) into one Done
// channel with one error. What it cannot catch is a plain panic inside etcd or
// bbolt, on a destroyed database file for example: that ends the process, which
// is why forwarding lives in another one.
package etcdserver
