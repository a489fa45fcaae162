// Package cluster decides of which cluster a node is a member, and keeps its
// membership.
//
// Before etcd starts, Prepare compares the identity file, the data directory
// and the settings: the node goes on as the member that it was, forms a cluster
// with others that are blank too (a handshake on the Raft addresses), joins one
// that exists, or refuses. A node whose data are gone never votes again under
// its old name: its votes are forgotten with them.
//
// Afterwards the Manager lists and changes the members, on any node.
package cluster
