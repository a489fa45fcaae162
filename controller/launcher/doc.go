// Package launcher runs the nodes of a cluster on one machine: it starts them
// as processes of their own, restarts what crashes, watches them over HTTP, and
// offers the control API, a page and a way to each node's API.
//
// # Processes
//
// A node is `dvr node` with its settings in the environment, in a session of its
// own and with its log in a file, so nothing of it hangs on the launcher: when
// the launcher dies, nodes run on, and the next launcher on the same data
// directory adopts them. A process is known by its pid, its start time and the
// boot it belongs to, recorded beside its data, and by the data directory in its
// environment; a pid alone is never trusted, and it is signalled through a pidfd.
// One supervisor (a goroutine) owns each process: it alone starts, stops and
// restarts, with exponential back-off. A data plane, where asked for, is one
// more process beside the node. It is not stopped with the node: forwarding
// survives the control plane. It goes with decommission and with the launcher.
// A new one starts once its node was seen in the cluster, for it takes the log
// of the first controller that answers; one with state starts at once.
//
// # Configuration
//
// launcher.json in the data directory names the nodes, their ports, which were
// stopped and the cluster's id. It is replaced atomically and on disk before
// anything it describes is done. A cluster is formed once: by the nodes of the
// first configuration, all together (INITIAL_CLUSTER). Nodes added later join
// (JOIN). A node that has been a member is started with CLUSTER_ID, so that one
// whose data is gone refuses instead of starting afresh. A data directory with
// nodes and no configuration is refused.
//
//	<data dir>/launcher.json          the configuration
//	<data dir>/lock                   held while a launcher runs
//	<data dir>/nodes/<id>/data        DATA_DIR of the node
//	<data dir>/nodes/<id>/dataplane   state of its data plane
//	<data dir>/nodes/<id>/*.log       what they printed, *.log.1 the older half
//	<data dir>/nodes/<id>/*.process   the process that runs
//
// # Decommission
//
// The member is removed first, by whichever node is alive; a cluster that would
// lose its quorum refuses, and then nothing has happened. Then the processes are
// stopped, then the directory is deleted through a handle on nodes/ that cannot
// leave it, then the node leaves the configuration. Interrupted after the first
// step, it is completed at the next start.
//
// # What is observed
//
// Watchers ask every node for /health and /v1/cluster/members and follow the
// processes; the board keeps the outcome. Event streams compare what they have
// sent with the board, so a slow reader costs no memory and misses no final state.
package launcher
