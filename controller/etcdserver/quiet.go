package etcdserver

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
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
	// The monitor of the storage version comes before what a joining member
	// has received; it tries again until it can.
	versionEntry   = "failed to update storage version"
	versionMissing = "cannot detect storage schema version"
)

// quietCore drops these entries, those with an error only where it is the
// ordinary one. What else is a warning or an error is written once and, where
// it repeats, every 30 s with the number of those in between.
type quietCore struct {
	zapcore.Core
	repeats *repeats // shared by all that With made
}

func newQuietCore(c zapcore.Core) quietCore {
	return quietCore{c, &repeats{of: map[repeatKey]*repeat{}}}
}

// With implements zapcore.Core.
func (q quietCore) With(fields []zapcore.Field) zapcore.Core {
	return quietCore{q.Core.With(fields), q.repeats}
}

// Check implements zapcore.Core.
func (q quietCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	switch e.Message {
	case singlePortEntry, simpleTokenEntry, unhealthyEntry, closedEntry, lostEntry:
		return to
	}
	if e.Level != zapcore.WarnLevel && e.Level != zapcore.ErrorLevel {
		return q.Core.Check(e, to)
	}
	if q.Enabled(e.Level) {
		return to.AddCore(e, q) // its fields are seen by Write
	}
	return to
}

// Write implements zapcore.Core; only warnings and errors come here.
func (q quietCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	var peer string
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Key == "error" && ordinary(e.Message, err) {
			return nil
		}
		if f.Type == zapcore.StringType && slices.Contains(peerFields, f.Key) {
			peer = f.String
		}
	}
	more, ok := q.repeats.admit(repeatKey{e.Level, e.Message, peer}, e.Time)
	if !ok {
		return nil
	}
	if more > 0 {
		fields = append(slices.Clone(fields), zap.Int("repeated", more))
	}
	return q.Core.Write(e, fields)
}

// ordinary tells whether the entry with this error belongs to a start or stop.
func ordinary(message string, err error) bool {
	switch message {
	case servingEntry, stoppingEntry, stoppedEntry, raftEntry:
		return ordinaryEnd(err)
	case versionEntry:
		return strings.Contains(err.Error(), versionMissing)
	}
	return false
}

func ordinaryEnd(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) ||
		err.Error() == "mux: server closed" || err.Error() == "raft: stopped" || strings.Contains(err.Error(), net.ErrClosed.Error())
}
