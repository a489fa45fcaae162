package etcdserver

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
)

// Entries that etcd writes at every start or ordinary stop, and that tell an
// operator of this product nothing.
const (
	// gRPC and HTTP share the client port, which only reads.
	singlePortEntry = "Running http and grpc server on single port. This is not recommended for production."
	// Authentication, which the tokens are for, is not used.
	simpleTokenEntry = "simple token is not cryptographically signed"
	// A peer that goes away is told by "peer became inactive"; these repeat it a
	// few times, the first one every five seconds for as long as it is away.
	unhealthyEntry = "prober detected unhealthy status"
	closedEntry    = "closed TCP streaming connection with remote peer"
	lostEntry      = "lost TCP streaming connection with remote peer"
	// What is served ends with its listener, which the stop closes.
	servingEntry  = "setting up serving from embedded etcd failed."
	stoppingEntry = "stopping insecure grpc server due to error"
	stoppedEntry  = "stopped insecure grpc server due to error"
	raftEntry     = "failed to process Raft message"
)

// quietCore drops these entries, the last four only where their error is that
// of a listener or server that was closed, and passes everything else.
type quietCore struct{ zapcore.Core }

// With implements zapcore.Core.
func (q quietCore) With(fields []zapcore.Field) zapcore.Core { return quietCore{q.Core.With(fields)} }

// Check implements zapcore.Core.
func (q quietCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	switch e.Message {
	case singlePortEntry, simpleTokenEntry, unhealthyEntry, closedEntry, lostEntry:
		return to
	case servingEntry, stoppingEntry, stoppedEntry, raftEntry: // its fields are seen by Write
		if q.Enabled(e.Level) {
			return to.AddCore(e, q)
		}
		return to
	}
	return q.Core.Check(e, to)
}

// Write implements zapcore.Core; only the last four entries come here.
func (q quietCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Key == "error" && ordinaryEnd(err) {
			return nil
		}
	}
	return q.Core.Write(e, fields)
}

func ordinaryEnd(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) ||
		err.Error() == "mux: server closed" || err.Error() == "raft: stopped" || strings.Contains(err.Error(), net.ErrClosed.Error())
}
