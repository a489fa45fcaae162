// Package node puts a DVR node together: settings, logger, data directory,
// etcd (embedded or external), log, appender, FIB stream, service and HTTP; and
// takes it apart in the reverse order within about five seconds.
//
// Start takes the ports before anything else, so that a port in use is said at
// once and plainly, and the data directory's lock before anything is read there.
package node
