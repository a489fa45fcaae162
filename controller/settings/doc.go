// Package settings finds out how a node is to run: flags win over environment
// variables, those over the config file, that over defaults. Every value knows
// where it came from, and every error names the setting, its origin and what to
// do. Unknown keys of the file, unknown flags and unknown DVR_ variables are
// errors, since a misspelt setting that is silently ignored is found in an outage.
//
// The environment names are the seed's bare ones (NODE_ID, RAFT_ADDR, API_ADDR,
// DATA_DIR) and ours; each is also accepted with the prefix DVR_. The file's keys
// are the same in lower case (node_id), the flags with dashes (--node-id).
//
// The package reads what it is handed and the config file, nothing else: it opens
// no socket, resolves no name and changes no process state.
package settings
