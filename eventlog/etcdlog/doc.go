// Package etcdlog keeps the log of package eventlog in etcd, embedded or
// external, in the keys of docs/decisions/0001-log-format.md.
//
// # What makes it safe
//
// Appending is one transaction on the condition that the head key has the
// revision that the appender knows and that the batch key is absent. Several
// appenders may try; the guard lets one through. A timeout says nothing about
// the outcome, so Append repeats the identical transaction until etcd answers:
// if the first one was applied after all, the condition fails and the stored
// batch equals ours.
//
// Reading trusts the hash chain, never the mere presence of a key: batches are
// delivered once their hashes have been followed to the head, or to a revision
// that an earlier read followed there. Batches are keyed by their last
// revision, so a batch names the key of its predecessor; from the head the
// chain is determined backwards, which is how foreign batches are told from the
// log's and how a missing or changed one is found in etcd's history and put back.
//
// Following ranges to the head and watches from there. On the watch a batch
// counts only beside a head put of the same etcd revision. Whatever goes wrong
// with a watch is answered by ranging again from the last batch delivered.
//
// # Care
//
// etcd's history grows with every head put. Care compacts, defragments and
// disarms the alarm; nobody else does, etcd's own compaction is off.
package etcdlog
